"""Random arguments of calls, often nearly equal, and an independent test of their equality."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

# Few and similar, so that two values drawn at random are often nearly equal.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, math.nan, math.inf, 1j, complex(1, -0.0)])
    | st.sampled_from(["", "0", "1", "a", "None", "s1:a", "]", "\ud800"])
    | st.sampled_from([b"", b"a", b"1"])
    | st.floats()
    | st.text(max_size=3)
)
HASHABLE = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.sets(HASHABLE, max_size=3)
    ),
    max_leaves=8,
)


def is_same(a: Any, b: Any) -> bool:
    """Return whether two values are equal and of the same types at every depth."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, complex):
        return is_same(a.real, b.real) and is_same(a.imag, b.imag)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(is_same, a, b))
    if isinstance(a, set | frozenset):
        return _have_matches(list(a), list(b), is_same)
    if isinstance(a, dict):
        return _have_matches(
            list(a.items()),
            list(b.items()),
            lambda x, y: is_same(x[0], y[0]) and is_same(x[1], y[1]),
        )
    return bool(a == b)


def _have_matches(a: list[Any], b: list[Any], matches: Callable[[Any, Any], bool]) -> bool:
    """Return whether each item of one list matches a different item of the other."""
    if len(a) != len(b):
        return False
    for item in a:
        at = next((n for n, other in enumerate(b) if matches(item, other)), None)
        if at is None:
            return False
        b = b[:at] + b[at + 1 :]
    return True


def rebuild(value: Any) -> Any:
    """Return an equal value with the items of dicts and sets in another order."""
    if isinstance(value, dict):
        return {rebuild(key): rebuild(value[key]) for key in reversed(value)}
    if isinstance(value, list | tuple | set | frozenset):
        items = [rebuild(item) for item in value]
        return type(value)(items if isinstance(value, list | tuple) else reversed(items))
    return value
