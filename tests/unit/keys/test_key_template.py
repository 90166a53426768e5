"""Keys that the user defines: as written where the text identifies the values, else a digest."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import UnstableIdentityError
from aiocache_pe.exceptions import ConfigurationError, InvalidKeyError
from aiocache_pe.keys.call_key import make_cache_key
from aiocache_pe.keys.key_template import CallTags, Template, make_key_by
from tests.support.calls import DIFFERENT, Client

DIGEST = "[0-9a-f]{32}"


@dataclass
class Request:
    model: str
    messages: list[dict[str, Any]]


def ask(prompt: Any, model: Any = "small", *rest: Any, page: Any = 1, **options: Any) -> None: ...


AS_WRITTEN: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("{prompt}", ("hello",), {}, "hello"),
    ("user:{prompt}", (7,), {}, "user:7"),
    ("{prompt}", (-7,), {}, "-7"),
    ("{prompt}:{model}", ("", ""), {}, ":"),
    ("{prompt}:{model}:{page}", ("a", "b"), {"page": 3}, "a:b:3"),
    ("{prompt}:{model}", ("a",), {}, "a:small"),
    ("{prompt} of {model}", ("a.b@c-d",), {}, "a.b@c-d of small"),
    ("{prompt[name]}", ({"name": "ada"},), {}, "ada"),
    ("{options[top]}", ("x",), {"top": 5}, "5"),
    ("{rest[1]}", ("x", "small", 8, 9), {}, "9"),
    ("{prompt.model}", (Request("gpt", []),), {}, "gpt"),
    ("{prompt.messages[0][content]}", (Request("gpt", [{"content": "hi"}]),), {}, "hi"),
    (
        "{prompt}",
        ("\N{LATIN SMALL LETTER E WITH ACUTE}",),
        {},
        "\N{LATIN SMALL LETTER E WITH ACUTE}",
    ),
]


@pytest.mark.parametrize("template", ["prompt", "", "fixed", "{{prompt}}", "fetch:prompt"])
def test_a_key_without_a_parameter_is_refused(template: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Template(template, ask)
    meant = "prompt" if template == "prompt" else "model"
    assert f'got {template!r}; write key="{{{meant}}}"' in str(caught.value)


def test_a_function_without_parameters_may_have_a_fixed_key() -> None:
    assert Template("settings", lambda: 1).make_key((), {}) == "settings"


@pytest.mark.parametrize(("template", "args", "kwargs", "key"), AS_WRITTEN)
def test_the_text_is_the_key_if_it_identifies_the_values(
    template: str, args: tuple[Any, ...], kwargs: dict[str, Any], key: str
) -> None:
    assert Template(template, ask).make_key(args, kwargs) == key
    assert Template(template, ask).fill(args, kwargs) == key


WITH_DIGEST: list[tuple[str, tuple[Any, ...], str]] = [
    ("{prompt}", ("7",), "7"),
    ("{prompt}", (1.0,), "1.0"),
    ("{prompt}", (True,), "True"),
    ("{prompt}", (None,), "None"),
    ("{prompt}", (Path("a"),), "a"),
    ("{prompt}", ("two words",), "two words"),
    ("{prompt}:{model}", ("a:b", "c"), "a:b:c"),
    ("{prompt}{model}", ("a", "b"), "ab"),
    ("{prompt}-{model}", ("a", "b"), "a-b"),
    ("{prompt}_{model}", ("a", "b"), "a_b"),
    ("{prompt!r}", ("a",), "'a'"),
    ("{prompt}", ("x" * 81,), "x" * 40),
    ("{prompt}", ("word \n" * 1000,), "word word word word word word word word "),
    ("{prompt}", (10**5000,), hex(10**5000)[:40]),
    ("{prompt}", (10**300,), "1" + 39 * "0"),
]


@pytest.mark.parametrize(("template", "args", "label"), WITH_DIGEST)
def test_a_digest_follows_if_the_text_does_not_identify_the_values(
    template: str, args: tuple[Any, ...], label: str
) -> None:
    key = Template(template, ask).make_key(args, {})
    assert re.fullmatch(f"{re.escape(label)}:{DIGEST}", key)
    assert key == Template(template, ask).make_key(args, {})


def test_different_values_have_different_keys() -> None:
    template = Template("{prompt}", ask)
    keys = {name: template.make_key((value,), {}) for name, value in DIFFERENT.items()}
    assert [pair for pair in combinations(keys, 2) if keys[pair[0]] == keys[pair[1]]] == []


@pytest.mark.parametrize("make", [lambda: Client("https://a"), lambda: {Client("https://b")}])
def test_a_key_does_not_depend_on_the_address_of_an_object(make: Callable[[], Any]) -> None:
    template = Template("{prompt}", ask)
    values = [make() for _ in range(10)]  # each has an address of its own
    assert len({template.make_key((value,), {}) for value in values}) == 1


def test_the_order_of_a_dict_or_a_set_is_no_part_of_the_key() -> None:
    template = Template("{prompt}:{model}", ask)
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert template.make_key((one, {8, 0}), {}) == template.make_key((other, {0, 8}), {})
    assert template.make_key((one, {8, 0}), {}).startswith("dict:set:")


def test_values_that_join_to_the_same_text_have_different_keys() -> None:
    for text in ("{prompt}:{model}", "{prompt}{model}", "{prompt}-{model}", "{prompt}, {model}"):
        template = Template(text, ask)
        pairs = [("a:b", "c"), ("a", "b:c"), ("ab", "c"), ("a", "bc"), ("a-b", "c"), ("a", "b-c")]
        pairs += [("a, b", "c"), ("a", "b, c"), ("", "abc"), ("abc", "")]
        assert len({template.make_key(pair, {}) for pair in pairs}) == len(pairs)


def test_values_with_the_same_formatted_text_share_a_key() -> None:
    template = Template("{prompt:.1f}", ask)
    assert template.make_key((0.11,), {}) == template.make_key((0.12,), {})
    assert template.make_key((0.11,), {}) != template.make_key((0.21,), {})


def test_a_long_template_has_a_short_key() -> None:
    template = Template("x" * 500 + "{prompt}", ask)
    assert len(template.make_key((1.5,), {})) < 250
    assert template.make_key((1.5,), {}) != template.make_key((2.5,), {})


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{prompt", r"key must be a valid format string; got '.*': "),
        ("prompt}", r"key must be a valid format string; got '.*': "),
        ("{propmt}", r"got \{propmt\} in '\{propmt\}'; accepted: 'model', 'options'"),
        ("{}", r"a field of key must name a parameter of the function; got \{\} in"),
        ("{0}", r"got \{0\} in '\{0\}'; accepted"),
        ("{.name}", "accepted"),
        ("{prompt:{page}}", "accepted"),
    ],
)
def test_an_invalid_template_is_refused(template: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Template(template, ask)


def test_a_template_of_a_function_without_parameters_has_no_fields() -> None:
    def nothing() -> None: ...

    assert Template("fixed", nothing).make_key((), {}) == "fixed"
    with pytest.raises(ConfigurationError, match="accepted: none"):
        Template("{a}", nothing)


@pytest.mark.parametrize(
    ("template", "args", "error", "message"),
    [
        ("{prompt}", (), TypeError, r"ask\(\): missing a required argument: 'prompt'"),
        (
            "{prompt}",
            (object(),),
            UnstableIdentityError,
            r"the key's fields\[0\] is a builtins.obj",
        ),
        ("{prompt.name}", ("x",), AttributeError, "name"),
        ("{prompt[name]}", ({},), KeyError, "name"),
    ],
)
def test_a_call_that_cannot_fill_its_template_raises(
    template: str, args: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Template(template, ask).make_key(args, {})


def test_a_value_that_equals_the_digest_of_another_call_has_another_key() -> None:
    template = Template("x" * 200 + ":{prompt}", ask)
    other = template.make_key((1.5,), {})
    assert template.make_key((other[-32:],), {}) != other
    many = Template("{a}:{b}:{c}:{d}:{e}:{f}", lambda a, b, c, d, e, f: None)
    values = ["x" * 40] * 4
    other = many.make_key((*values, "x" * 40, 1.5), {})
    assert many.make_key((*values, "x" * 36, other[-32:]), {}) != other


def test_parameters_without_a_field_are_no_part_of_the_key() -> None:
    key = Template("{prompt}", ask, prefix="default:llm:").make_key
    assert key(("x",), {}) == key(("x", "large", 3), {"page": object()}) == "default:llm:x"


BUILT: list[tuple[Callable[..., Any], str]] = [
    (lambda a, b: f"{a}+{b}", "llm:1+2"),
    (lambda a, b: "", "llm:"),
    (lambda a, b: "x" * 200, "llm:" + "x" * 200),
    (lambda a, b: (a, b), "llm:" + make_cache_key((1, 2))),
    (lambda a, b: None, "llm:" + make_cache_key(None)),
    (lambda a, b: 12, "llm:" + make_cache_key(12)),
    (lambda a, b: "x" * 201, "llm:" + make_cache_key("x" * 201)),
]


@pytest.mark.parametrize(("build", "key"), BUILT)
def test_a_function_returns_the_key_or_a_value_that_identifies_the_call(
    build: Callable[..., Any], key: str
) -> None:
    assert "llm:" + make_key_by(build, (1,), {"b": 2}) == key


def test_a_function_that_returns_a_value_without_identity_is_refused() -> None:
    with pytest.raises(UnstableIdentityError):
        make_key_by(object, (), {})


def test_tags_without_fields_are_the_same_for_all_calls() -> None:
    tags = CallTags(("a", "b"), ask)
    assert tags.make_tags((), {}) is tags.make_tags((1, 2), {})
    assert tags.make_tags((), {}) == ("a", "b")


def test_tags_with_fields_are_filled_without_duplicates() -> None:
    tags = CallTags(("llm", "model:{model}", "{prompt}"), ask)
    assert set(tags.make_tags(("llm",), {})) == {"llm", "model:small"}
    assert set(tags.make_tags((7,), {"model": "x"})) == {"llm", "model:x", "7"}


def test_an_empty_filled_tag_is_refused() -> None:
    with pytest.raises(InvalidKeyError, match="tag must have at least 1 character"):
        CallTags(("{prompt}",), ask).make_tags(("",), {})


def test_a_tag_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"a field of tag must name a parameter of the function; got \{user\}",
    ):
        CallTags(("{user}",), ask)
