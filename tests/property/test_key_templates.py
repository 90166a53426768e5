"""Template keys: two calls share a key if and only if their fields have the same values."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from aiocache_pe.keys.key_template import Template
from tests.support.argument_strategies import VALUES, is_same, rebuild

# Texts that resemble a separator, a number, a digest, or a part of another value.
TRICKY = st.text(alphabet="ab01-._@: /{}[]\n\N{ARABIC-INDIC DIGIT ONE}", max_size=5)
SEPARATORS = st.sampled_from(["", ":", "::", ": ", "/", "-", "_", ".", "a", "1", " a ", "x" * 90])
FIELDS = ["{a}", "{b}", "{c}"]
ANY = TRICKY | st.integers(-12, 12) | VALUES | st.integers() | st.text(max_size=90)


def ask(a: Any, b: Any = 1, *, c: Any = None) -> None: ...


@st.composite
def templates(draw: st.DrawFn) -> str:
    """Draw three fields with a text, perhaps an empty one, before, between and after them."""
    pieces = [draw(SEPARATORS)]
    for field in draw(st.permutations(FIELDS)):
        pieces += [field, draw(SEPARATORS)]
    return "".join(pieces)


def make_key(template: str, values: tuple[Any, Any, Any]) -> str:
    a, b, c = values
    return Template(template, ask).make_key((a, b), {"c": c})


@given(templates(), st.tuples(ANY, ANY, ANY), st.tuples(ANY, ANY, ANY))
def test_calls_share_a_key_if_and_only_if_their_fields_are_the_same(
    template: str, first: tuple[Any, Any, Any], second: tuple[Any, Any, Any]
) -> None:
    assert (make_key(template, first) == make_key(template, second)) is is_same(first, second)


@given(templates(), st.tuples(TRICKY, TRICKY, TRICKY), st.data())
def test_texts_that_join_to_the_same_characters_have_different_keys(
    template: str, first: tuple[str, str, str], data: st.DataObject
) -> None:
    """Split the same characters at other positions."""
    joined = "".join(first)
    one, two = sorted(data.draw(st.tuples(*[st.integers(0, len(joined))] * 2)))
    second = joined[:one], joined[one:two], joined[two:]
    assert (make_key(template, first) == make_key(template, second)) is (first == second)


@given(templates(), st.tuples(ANY, ANY, ANY), ANY)
def test_a_part_of_a_key_used_as_a_value_does_not_lead_to_that_key(
    template: str, first: tuple[Any, Any, Any], other: Any
) -> None:
    key = make_key(template, first)
    for part in (key, key[-32:], key.rpartition(":")[0]):
        for second in [(part, *first[1:]), (*first[:2], part), (part, part, other)]:
            assume(not is_same(second, first))
            assert make_key(template, second) != key


@given(st.sampled_from(FIELDS), ANY)
def test_a_value_and_its_text_have_different_keys(field: str, value: Any) -> None:
    assume(type(value) is not str)
    text = str(value)
    assert make_key(field, (value, value, value)) != make_key(field, (text, text, text))


@given(templates(), st.tuples(ANY, ANY, ANY))
def test_equal_calls_have_the_same_key_in_every_spelling(
    template: str, values: tuple[Any, Any, Any]
) -> None:
    a, b, c = values
    key = make_key(template, values)
    fresh = Template(template, ask)
    assert fresh.make_key((a,), {"c": c, "b": b}) == key
    assert fresh.make_key((), {"c": c, "b": b, "a": a}) == key
    assert fresh.make_key((rebuild(a), rebuild(b)), {"c": rebuild(c)}) == key
    assert Template(template, ask).make_key((a,), {}) == make_key(template, (a, 1, None))


@given(templates(), st.tuples(ANY, ANY, ANY))
def test_a_key_is_short(template: str, values: tuple[Any, Any, Any]) -> None:
    assert len(make_key(template, values)) <= 200 + 1 + 32
