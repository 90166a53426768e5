"""Redaction of arguments in recordings: fields and texts that hold a secret are hidden."""

from __future__ import annotations

import pytest

from aiocache_pe.recordings.redaction import HIDDEN, find_secret, redact_fields, redact_text


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "apiKey", "x-api-key", "token", "access_token", "authorization", "Cookie"),
        *("authorization_token", "Proxy-Authorization", "client_secret", "clientSecret", "pwd"),
        *("sas_token", "x-amz-security-token", "bot_token", "connectionString", "db_password"),
    ],
)
def test_a_field_with_the_name_of_a_secret_is_hidden(name: str) -> None:
    fields = {"mcp_servers": [{"url": "https://tools", name: "hunter2"}]}
    assert redact_fields(fields) == {"mcp_servers": [{"url": "https://tools", name: HIDDEN}]}


@pytest.mark.parametrize(
    "name",
    [
        *("max_tokens", "eos_token", "tokenizer", "stop_token", "keyword", "prompt_cache_key"),
        *("next_page_token", "secretary", "cookies_allowed", "logit_bias", "passage"),
    ],
)
def test_a_field_of_another_name_is_shown(name: str) -> None:
    assert redact_fields({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    ("before", "secret", "after"),
    [
        ("key ", "sk-ant-api03-4Jd8sKq0zLw91MnB7xYc", ""),
        ("key ", "ya29.a0AfH6SMBx3kQ1Zr7Tg9Lm2Vb5", " of Google"),
        ("key ", "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", ""),
        ("key ", "dapi0123456789abcdef0123456789abcdef", ""),
        ("key ", "npm_4Jd8sKq0zLw91MnB7xYc4Jd8sKq0zLw91MnB", ""),
        ("key ", "pypi-AgEIcHlwaS5vcmcCJDU3NTI1", ""),
        ("https://", "user:hunter2", "@host/path"),
        ("postgres://", "admin:p4ss-w0rd!", "@host:5432/name"),
        ("https://", "x-access-token:ghs_secret", "@github.com"),
    ],
)
def test_a_text_in_the_form_of_a_secret_is_hidden(before: str, secret: str, after: str) -> None:
    text = f"{before}{secret}{after}".encode()
    assert redact_text(text) == f"{before}{HIDDEN}{after}".encode()


@pytest.mark.parametrize(
    "text",
    [
        *("https://host:8080/a@b", "at 10://20:30", "mail user@host", "npm_config_registry"),
        *("The SG.module of signal", "pypi-server", "https://host/a:b@c"),
    ],
)
def test_another_text_is_shown(text: str) -> None:
    assert redact_text(text.encode()) == text.encode()
    assert find_secret({"text": text}, text.encode()) is None


def test_an_answer_with_the_example_of_a_url_with_a_password_is_recorded() -> None:
    text = "Set DATABASE_URL=postgres://user:password@localhost/db."
    assert find_secret({"text": text}, text.encode()) is None
