"""Keys by template: two calls have one key if and only if their fields are the same."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from aiocache_pe.keys.key_template import Template
from tests.property.test_canonical import VALUES, rebuilt, same

# What might be taken for a separator, a number, a digest, or a part of another value.
TRICKY = st.text(alphabet="ab01-._@: /{}[]\n\N{ARABIC-INDIC DIGIT ONE}", max_size=5)
SEPARATORS = st.sampled_from(["", ":", "::", ": ", "/", "-", "_", ".", "a", "1", " a ", "x" * 90])
FIELDS = ["{a}", "{b}", "{c}"]
ANY = TRICKY | st.integers(-12, 12) | VALUES | st.integers() | st.text(max_size=90)


def ask(a: Any, b: Any = 1, *, c: Any = None) -> None: ...


@st.composite
def templates(draw: st.DrawFn) -> str:
    """Two or three fields with something, or nothing, before, between and after them."""
    pieces = [draw(SEPARATORS)]
    for field in draw(st.permutations(FIELDS)):
        pieces += [field, draw(SEPARATORS)]
    return "".join(pieces)


def key(template: str, values: tuple[Any, Any, Any]) -> str:
    a, b, c = values
    return Template(template, ask).key((a, b), {"c": c})


@given(templates(), st.tuples(ANY, ANY, ANY), st.tuples(ANY, ANY, ANY))
def test_calls_share_a_key_if_and_only_if_their_fields_are_the_same(
    template: str, ours: tuple[Any, Any, Any], theirs: tuple[Any, Any, Any]
) -> None:
    assert (key(template, ours) == key(template, theirs)) is same(ours, theirs)


@given(templates(), st.tuples(TRICKY, TRICKY, TRICKY), st.data())
def test_texts_that_run_into_each_other_are_told_apart(
    template: str, ours: tuple[str, str, str], data: st.DataObject
) -> None:
    """Cut the same characters elsewhere."""
    joined = "".join(ours)
    one, two = sorted(data.draw(st.tuples(*[st.integers(0, len(joined))] * 2)))
    theirs = joined[:one], joined[one:two], joined[two:]
    assert (key(template, ours) == key(template, theirs)) is (ours == theirs)


@given(templates(), st.tuples(ANY, ANY, ANY), ANY)
def test_a_part_of_a_key_taken_for_a_value_does_not_lead_to_that_key(
    template: str, ours: tuple[Any, Any, Any], other: Any
) -> None:
    made = key(template, ours)
    for part in (made, made[-32:], made.rpartition(":")[0]):
        for theirs in [(part, *ours[1:]), (*ours[:2], part), (part, part, other)]:
            assume(not same(theirs, ours))
            assert key(template, theirs) != made


@given(st.sampled_from(FIELDS), ANY)
def test_a_field_tells_the_types_of_what_looks_alike(field: str, value: Any) -> None:
    assume(type(value) is not str)
    looks = str(value)
    assert key(field, (value, value, value)) != key(field, (looks, looks, looks))


@given(templates(), st.tuples(ANY, ANY, ANY))
def test_the_same_call_has_the_same_key_however_it_is_spelled(
    template: str, values: tuple[Any, Any, Any]
) -> None:
    a, b, c = values
    made = key(template, values)
    again = Template(template, ask)
    assert again.key((a,), {"c": c, "b": b}) == made
    assert again.key((), {"c": c, "b": b, "a": a}) == made
    assert again.key((rebuilt(a), rebuilt(b)), {"c": rebuilt(c)}) == made
    assert Template(template, ask).key((a,), {}) == key(template, (a, 1, None))


@given(templates(), st.tuples(ANY, ANY, ANY))
def test_a_key_is_short(template: str, values: tuple[Any, Any, Any]) -> None:
    assert len(key(template, values)) <= 200 + 1 + 32
