"""Removal of secrets from recordings, which are committed: passwords, keys, tokens.

Arguments are recorded for readers, so secrets in them are replaced. An answer must be replayed
unchanged, so an answer that contains a secret is not recorded. A secret is the value of an
environment variable with such a name, the password in a URL of any environment variable, or a text
in the form of a key or a token.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from aiocache_pe.codecs.plain_json import to_json

HIDDEN = "<hidden>"
_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:(?:access|account|api|encryption|private|secret|signing|subscription)[_-]?key"
    r"|password|passwd|passphrase|secret|authorization|cookie|credentials?|connection[_-]?string"
    r"|(?:access|api|app|auth|authorization|bearer|bot|client|csrf|id|jwt|oauth|private|refresh"
    r"|sas|secret|security|service|session|user)[_-]?token)$|^(?:token|pwd)$",
    re.IGNORECASE,
)
_WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECRET_VARIABLE = re.compile(
    r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)$", re.IGNORECASE
)
_KEY_PATTERN = re.compile(
    rb"\b(?:sk|pk|rk|hf|gsk|r8|xai|nvapi|pplx|glpat)[-_][A-Za-z0-9_-]{16,}"
    rb"|\b(?:gh[opsru]|github_pat)_[A-Za-z0-9_]{20,}"
    rb"|\b(?:npm|fw|sbp|whsec|dop_v1)_[A-Za-z0-9]{20,}|\bdapi[0-9a-f]{32}"
    rb"|\b(?:ya29|SG)\.[A-Za-z0-9._-]{20,}|\bpypi-[A-Za-z0-9_-]{16,}"
    rb"|(?<=://)[^\s/:@\"]{1,99}:[^\s/@\"]{1,199}(?=@)"
    rb"|\bxox[abeprs]-[A-Za-z0-9-]{10,}"
    rb"|\bAIza[A-Za-z0-9_-]{30,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    rb"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    rb"|\b(?:[Bb]earer|[Bb]asic) [A-Za-z0-9._~+/=-]{16,}"
    rb"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]*-----END [A-Z ]*PRIVATE KEY-----)?"
)
"""Keys of model servers and of other services, JSON web tokens, and headers with credentials."""
_RANDOM_TEXT = re.compile(rb"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{12,}|PRIVATE KEY")
"""Letters and digits in a mixture that no word has; keys consist of them."""
_MIN_SECRET_LENGTH = 8
"""Length of an environment variable's value from which it may be a secret; others are words."""


def redact_fields(arguments: Any) -> Any:
    """Return plain data without values under the name of a secret, and bytes with a secret.

    Example:
        >>> redact_fields({"prompt": "Hi", "max_tokens": 5, "auth": {"api_key": "k"}})
        {'prompt': 'Hi', 'max_tokens': 5, 'auth': {'api_key': '<hidden>'}}
    """
    if isinstance(arguments, Mapping):
        return {
            name: HIDDEN
            if isinstance(name, str) and _SECRET_NAME.search(_WORD_BOUNDARY.sub("_", name))
            else redact_fields(value)
            for name, value in arguments.items()
        }
    if type(arguments) is list:
        return [redact_fields(value) for value in arguments]
    return HIDDEN if isinstance(arguments, bytes) and _has_secret(arguments) else arguments


def redact_text(text: bytes) -> bytes:
    """Return text without the secrets of the environment, and without texts of a key's form."""
    for name, secret in _list_secrets():
        # Text in JSON in JSON has several backslashes before each quote.
        escaped = rb"\\*".join(re.escape(byte) for byte in _split(_drop_backslashes(secret)))
        pattern = b"%b|%b" % (escaped, re.escape(quote(secret, safe="").encode()))
        text = re.sub(pattern, f"<{name}>".encode(), text)
    return _KEY_PATTERN.sub(HIDDEN.encode(), text)


@lru_cache(maxsize=256)
def redact_path(path: str) -> str:
    """Return the path of a URL without segments that are, or may be, secret.

    Example:
        >>> redact_path("/v1/4f1d6a9be2c74c0f/chat/completions")
        '/v1/<hidden>/chat/completions'
    """
    segments = [
        HIDDEN if _RANDOM_TEXT.search(segment) else segment.decode()
        for segment in redact_text(unquote(path).encode()).split(b"/")
    ]
    return quote("/".join(segments), safe="/:@!$&'()*+,;=<>[]|{}")


def find_secret(value: Any, text: bytes) -> str | None:
    """Return a description of a secret that an answer contains; ``None`` without one.

    A secret is also found in bytes, and in the parts of a stream that together contain it.

    Args:
        value: the answer.
        text: its JSON.
    """
    texts = defaultdict[str, list[str]](list)
    for name, part in _iter_texts(value, ""):
        texts[name].append(part)
    joined = ["".join(parts).encode("utf-8", "replace") for parts in texts.values()]
    haystacks = [each.replace(b"\\", b"") for each in (text, *joined)]
    for name, secret in _list_secrets():
        forms = _drop_backslashes(secret), secret.replace("\\", "").encode()
        if any(form in haystack for form in forms for haystack in haystacks):
            return f"the value of the environment variable {name}"
    keys = (key for haystack in haystacks for key in _KEY_PATTERN.findall(haystack))
    return "a key or a token" if any(map(_RANDOM_TEXT.search, keys)) else None


def _has_secret(value: bytes) -> bool:
    """Return whether bytes, which JSON holds in base64, contain a secret."""
    return bool(_KEY_PATTERN.search(value)) or any(
        secret.encode() in value for _, secret in _list_secrets()
    )


def _iter_texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield the texts in plain data and in events, each with the name of its field."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        _, mark, event = value.partition("data: {")
        if mark:
            with suppress(msgspec.DecodeError, RecursionError):
                value = msgspec.json.decode("{" + event)
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from _iter_texts(child, str(key))
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _iter_texts(child, name)


def _drop_backslashes(secret: str) -> bytes:
    """Return the JSON of a secret without backslashes, of which JSON in JSON has several."""
    return to_json(secret)[1:-1].replace(b"\\", b"")


def _split(text: bytes) -> list[bytes]:
    return [text[at : at + 1] for at in range(len(text))]


def _list_secrets() -> list[tuple[str, str]]:
    """Return the secrets of the environment with the names of their variables."""
    return [
        (name, secret)
        for name, value in os.environ.items()
        for secret in _find_secrets(name, value.strip())
        if len(secret) >= _MIN_SECRET_LENGTH and secret.replace("\n", "").isprintable()
    ]


def _find_secrets(name: str, value: str) -> Iterator[str]:
    if _SECRET_VARIABLE.search(name):
        yield value
    elif "://" in value and "@" in value:
        with suppress(ValueError):
            yield from filter(None, (urlsplit(value).password,))
