"""Whether what callers saw of one key could have happened one step at a time.

A history is linearizable if its operations can be put in one order, each somewhere
between its call and its return, in which every answer is right. The search is that of
Wing and Gong, with Lowe's memory of what was tried. An operation that was cancelled may
have happened at any time after its call, or never.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

ABSENT = -1
"""What a read of nothing answers, and what a key without an entry holds."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of a caller.

    Attributes:
        verb: ``set``, ``get``, ``add``, ``delete``, ``pop`` or ``incr``.
        value: what was given, 0 where the verb takes nothing.
        answer: what came back; ``None`` if nothing ever did.
        called, returned: nanoseconds of a clock that all callers share.
    """

    verb: str
    value: int
    answer: int | None
    called: float
    returned: float = math.inf


def apply(state: int, verb: str, value: int) -> tuple[int, int]:
    """The state after an operation, and its answer."""
    there = state != ABSENT
    if verb == "set":
        return value, True
    if verb == "get":
        return state, state
    if verb == "add":
        return (state, False) if there else (value, True)
    if verb == "delete":
        return ABSENT, there
    if verb == "pop":
        return ABSENT, state
    assert verb == "incr"
    after = state + value if there else value
    return after, after


def is_linearizable(history: Iterable[Operation], state: int = ABSENT) -> bool:
    """Whether some order explains every answer.

    Args:
        history: the operations, in any order.
        state: what the key held before them.
    """
    operations = sorted(history, key=lambda one: one.called)
    todo = (1 << len(operations)) - 1
    must = sum(1 << n for n, one in enumerate(operations) if one.answer is not None)
    seen: set[tuple[int, int]] = set()
    stack = [(todo, state)]
    while stack:
        todo, state = stack.pop()
        if not todo & must:
            return True
        if (todo, state) in seen:
            continue
        seen.add((todo, state))
        left = [n for n in range(len(operations)) if todo >> n & 1]
        first_return = min(operations[n].returned for n in left)
        for n in left:
            one = operations[n]
            if one.called > first_return:
                break  # something else returned before this one, and all later ones, began
            after, answer = apply(state, one.verb, one.value)
            if one.answer is None or one.answer == answer:
                stack.append((todo & ~(1 << n), after))
    return False
