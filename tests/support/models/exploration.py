"""Exhaustive exploration of small models of the protocols.

A model has an initial state and the atomic steps of its actors. The exploration visits each
state that any order of the steps can reach, the nearest first, so the steps to a broken promise
are as few as possible. The docstring of a model describes its protocol. A *fault* of a model is
a wrong variant of the protocol, which the exploration must find.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)


class Model(Protocol[S]):
    """A protocol with its actors."""

    def make_initial_state(self) -> S:
        """Return the state before the first step."""

    def iter_steps(self, state: S) -> Iterator[tuple[str, S]]:
        """Yield each step that an actor can take, as its description and the next state."""

    def find_violation(self, state: S) -> str | None:
        """Return the promise that is broken in a state, if there is one."""

    def is_final(self, state: S) -> bool:
        """Return whether all actors have finished; another state without steps is a hang."""


class Exploration(NamedTuple):
    """Result of an exploration.

    Attributes:
        states: the number of states.
        violation: the first promise that is broken; ``None`` if the protocol keeps all.
        trace: the steps to the state in which it is broken.
    """

    states: int
    violation: str | None
    trace: tuple[str, ...]


class _Path(NamedTuple, Generic[S]):
    """A state and the step to it."""

    before: S | None
    step: str


def explore(model: Model[S]) -> Exploration:
    """Visit all states of a model until a promise is broken."""
    initial = model.make_initial_state()
    paths = {initial: _Path[S](None, "")}
    queue = deque([initial])
    while queue:
        state = queue.popleft()
        violation = model.find_violation(state)
        has_step = False
        for step, after in model.iter_steps(state):
            has_step = True
            if after not in paths:
                paths[after] = _Path(state, step)
                queue.append(after)
        if violation is None and not has_step and not model.is_final(state):
            violation = "an actor waits and no step can wake it"
        if violation is not None:
            return Exploration(len(paths), violation, _trace(paths, state))
    return Exploration(len(paths), None, ())


def _trace(paths: dict[S, _Path[S]], state: S) -> tuple[str, ...]:
    steps: list[str] = []
    before, step = paths[state]
    while before is not None:
        steps.append(step)
        before, step = paths[before]
    return tuple(reversed(steps))
