"""Taking turns at computing: with other processes, threads and event loops.

Who finds nothing asks the store for the key's lease (`protocols.Leasing`) before it
computes. Who does not get it looks again, every now and then, until the value is there,
or the lease is to be had because its holder failed or died, or patience is at an end.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Self, TypeVar

from aiocache_pe.backends.base import Backend, Lease, Leasing
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.sentinels import MISSING, Missing

T = TypeVar("T")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.2  # seconds between two looks
_GROWTH = 1.5
_around: ContextVar[frozenset[HeldLease]] = ContextVar("aiocache_pe_turns")


class HeldLease:
    """The right to compute what belongs under a key; an ``async with`` block ends it.

    What is called inside it and wants the same key need not wait: that would be for ever.

    Args:
        space: the namespace of the key.
        key: the store key.
        lease: what makes others wait; ``None`` if nothing does.
    """

    __slots__ = ("_lease", "_space", "key")

    def __init__(self, space: Namespace, key: str, lease: Lease | None) -> None:
        self._space = space
        self._lease = lease
        self.key: str | None = key
        """The key; ``None`` when the turn is over, which tasks begun in it outlive."""

    @property
    def is_lost(self) -> bool:
        """Whether another may have computed meanwhile what is newer."""
        return self._lease is not None and self._lease.is_lost

    def enter(self) -> None:
        """Let what is called in this context from now on know of it."""
        _around.set(_around.get(frozenset()) | {self})

    async def __aenter__(self) -> Self:
        self.enter()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.release()

    async def release(self) -> None:
        """Let others have their turn."""
        self.key, lease, self._lease = None, self._lease, None
        if lease is not None:
            await self._space.attempt("lease", lease.release(), None)


class LeaseWaiter:
    """Turns at the keys of a store.

    Args:
        backend: the store.
    """

    __slots__ = ("_leasing",)

    def __init__(self, backend: Backend) -> None:
        self._leasing = backend if isinstance(backend, Leasing) else None

    async def get_or_acquire(
        self,
        space: Namespace,
        key: str,
        look: Callable[[], Awaitable[T | Missing]],
        patience: float | None,
    ) -> tuple[T | Missing, HeldLease]:
        """What is there, or by and by comes to be there; or else the turn to compute it.

        Args:
            space: the namespace of the key.
            key: the store key.
            look: says what is there now, or `MISSING`.
            patience: how many seconds to wait for others; ``None`` for not asking anybody.

        Returns:
            What was found, and a turn that is over; or `MISSING`, and the turn.
        """
        pause, time = _FIRST_PAUSE, asyncio.get_running_loop().time
        until = time() + (patience or 0.0)
        while True:
            turn = await self._try(space, key, patience)
            try:
                found = await look()
            except BaseException:
                if turn is not None:
                    await turn.release()
                raise
            time_left = until - time()
            if turn is None and (found is not MISSING or time_left <= 0):
                turn = HeldLease(space, key, None)
            if turn is not None:
                if found is not MISSING:
                    await turn.release()
                return found, turn
            # Not all at the same moment.
            await asyncio.sleep(min(time_left, pause * random.uniform(0.8, 1.2)))  # noqa: S311
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    async def _try(self, space: Namespace, key: str, patience: float | None) -> HeldLease | None:
        """The turn, unless somebody has it."""
        if self._leasing is None or patience is None or is_held_by_caller(key):
            return HeldLease(space, key, None)
        nobody: Any = _NOBODY  # a store that cannot lease makes nobody wait
        lease = await space.attempt("lease", self._leasing.try_lease(key), nobody)
        if lease is None:
            return None
        return HeldLease(space, key, None if lease is _NOBODY else lease)


_NOBODY = object()


def is_held_by_caller(key: str) -> bool:
    """Whether this is called, by however many others, by what computes the key."""
    return any(turn.key == key for turn in _around.get(frozenset()))
