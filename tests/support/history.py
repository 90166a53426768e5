"""Histories of operations on one key, and a check that a history is linearizable.

A history is linearizable if its operations can be put in one order, each at a time between its
call and its return, in which every answer is correct. The search is that of Wing and Gong, with
Lowe's memory of visited states. A cancelled operation may have happened at any time after its
call, or never.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

ABSENT = -1
"""The state of a key without an entry, and the answer of a read of such a key."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of a caller.

    Attributes:
        verb: ``set``, ``get``, ``add``, ``delete``, ``pop`` or ``incr``.
        value: the argument; 0 for a verb without one.
        answer: the result; ``None`` if the operation was cancelled.
        called, returned: times in nanoseconds, of a clock that all callers share.
    """

    verb: str
    value: int
    answer: int | None
    called: float
    returned: float = math.inf


def apply(state: int, verb: str, value: int) -> tuple[int, int]:
    """Return the state after an operation, and the answer of the operation."""
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
    """Return whether some order explains every answer.

    Args:
        history: the operations, in any order.
        state: the state of the key before them.
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
                break  # another operation returned before this one and all later ones were called
            after, answer = apply(state, one.verb, one.value)
            if one.answer is None or one.answer == answer:
                stack.append((todo & ~(1 << n), after))
    return False
