"""Histories of operations on one key, and a check that a history is linearizable.

A history is linearizable if its operations can be put in one order, each at a time between its
call and its return, in which every answer is correct. The search is that of Wing and Gong, with
Lowe's memory of visited states. An operation without an answer may have happened, or never.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

ABSENT = -1
"""The state of a key without an entry, and the answer of a read of such a key."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of a caller.

    Attributes:
        verb: ``set``, ``get``, ``add``, ``delete``, ``pop``, ``incr``, ``touch``, or ``remove`` for
            the part of a larger removal that concerns this key.
        value: the argument; 0 for a verb without one.
        answer: the result; ``None`` if it is not known, because the operation was cancelled or
            failed, or its process was killed.
        called, returned: times in nanoseconds, of a clock that all callers share. An operation
            without an answer has taken effect before ``returned``, or never.
        may_vanish: whether the stored value may be absent at once, because a removal of its tag
            began before the value was stored.
    """

    verb: str
    value: int
    answer: int | None
    called: float
    returned: float = math.inf
    may_vanish: bool = False

    def apply(self, state: int) -> Iterator[tuple[int, int]]:
        """Yield each state in which the operation may leave a key, with the answer to it."""
        after, answer = _apply(state, self.verb, self.value)
        yield after, answer
        if self.may_vanish and after != state:
            yield ABSENT, answer


def _apply(state: int, verb: str, value: int) -> tuple[int, int]:
    there = state != ABSENT
    if verb == "set":
        return value, True
    if verb == "get":
        return state, state
    if verb == "add":
        return (state, False) if there else (value, True)
    if verb == "delete":
        return ABSENT, there
    if verb == "remove":
        return ABSENT, True
    if verb == "pop":
        return ABSENT, state
    if verb == "touch":
        return state, there
    assert verb == "incr"
    after = state + value if there else value
    return after, after


class Node(NamedTuple):
    """Node of the search: the operations that are placed in the order, and the state after them.

    Attributes:
        first: the number of the first operation, in the order of the calls, that is not placed.
        placed: bits of the operations from `first` on that are placed.
        used: bits of the placed operations without an answer.
        state: the state of the key.
    """

    first: int
    placed: int
    used: int
    state: int

    def place(self, number: int, state: int) -> Node:
        """Return the node after one more operation."""
        placed = self.placed | 1 << number - self.first
        # The lowest zero is the first operation that is not placed.
        count = (~placed & placed + 1).bit_length() - 1
        return Node(self.first + count, placed >> count, self.used, state)


def is_linearizable(
    history: Iterable[Operation], state: int = ABSENT, *, is_lossy: bool = False
) -> bool:
    """Return whether some order explains every answer.

    Args:
        history: the operations, in any order.
        state: the state of the key before them.
        is_lossy: whether the entry may vanish at any time, by expiry, eviction or a fault.
    """
    operations = sorted(history, key=lambda one: one.called)
    certain = [one for one in operations if one.answer is not None]
    uncertain = [one for one in operations if one.answer is None]
    seen: set[Node] = set()
    stack = [Node(0, 0, 0, state)]
    while stack:
        node = stack.pop()
        if node.first == len(certain):
            return True
        if node not in seen:
            seen.add(node)
            states = {node.state, ABSENT} if is_lossy else {node.state}
            candidates, limit = _find_candidates(certain, node)
            # The search takes the last node first; operations without an answer come last.
            stack += _use_uncertain(certain, uncertain, node, states, limit)
            stack += _place_certain(certain, candidates, node, states)
    return False


def _use_uncertain(
    certain: Sequence[Operation],
    uncertain: Sequence[Operation],
    node: Node,
    states: Iterable[int],
    limit: float,
) -> Iterator[Node]:
    """Yield the nodes after one operation without an answer."""
    is_first = node.first == 0 and not node.placed
    latest = -math.inf if is_first else certain[node.first + node.placed.bit_length() - 1].called
    for number, one in enumerate(uncertain):
        if one.called > limit:
            return
        if not node.used >> number & 1 and one.returned >= latest:
            for after in {after for before in states for after, _ in one.apply(before)}:
                if after != node.state:
                    yield Node(node.first, node.placed, node.used | 1 << number, after)


def _place_certain(
    certain: Sequence[Operation], candidates: Sequence[int], node: Node, states: Iterable[int]
) -> Iterator[Node]:
    """Yield the nodes after one operation with its answer."""
    for number in reversed(candidates):
        one = certain[number]
        for before in states:
            for after, answer in one.apply(before):
                if one.answer == answer:
                    yield node.place(number, after)


def _find_candidates(certain: Sequence[Operation], node: Node) -> tuple[list[int], float]:
    """Return the operations that can be next, and the time before which the next one was called.

    An operation can be next if no operation that is not placed returned before it was called.
    """
    candidates: list[int] = []
    limit = math.inf
    for number in range(node.first, len(certain)):
        one = certain[number]
        if one.called > limit:
            break
        if not node.placed >> number - node.first & 1:
            candidates.append(number)
            limit = min(limit, one.returned)
    return candidates, limit
