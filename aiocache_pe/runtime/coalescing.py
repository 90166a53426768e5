"""Joint flights: one piece of work fetches several things, and others may want some of them.

Two batches that overlap are the case: what the first one is fetching already, the second
waits for, and fetches only the rest. Each piece of work is a `Flight`, which its keys
share; so a batch that is cancelled takes nobody along, and work is given up only when
nobody waits for any of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from aiocache_pe.runtime.loops import PerLoop
from aiocache_pe.runtime.single_flight import WAIT_TIMEOUT, Flight

Work = Callable[[Sequence[str]], Awaitable[Mapping[str, Any]]]
"""Fetches what belongs to some keys: a value for each."""


class Fetched(NamedTuple):
    """What came of `Coalescer.run`.

    Attributes:
        values: by key.
        others: those of the keys that were fetched for somebody else.
    """

    values: dict[str, Any]
    others: set[str]


class _Chunk(Flight):
    """One piece of work, and the keys that it fetches."""

    __slots__ = ("keys",)

    def __init__(self, keys: Sequence[str], mark: object) -> None:
        super().__init__(asyncio.get_running_loop())
        self._mark = mark
        self.keys = keys


class _InFlight:
    """What is under way in one loop, and who wants to hear of landings."""

    __slots__ = ("parts", "watchers")

    def __init__(self) -> None:
        self.parts: dict[str, _Chunk] = {}
        self.watchers: list[dict[str, Any]] = []

    def begin(self, keys: Sequence[str], work: Work, size: int | None) -> list[_Chunk]:
        """Begin work on keys, some of them at a time.

        All parts have one mark: what asks inside one for a key of another must not wait for
        that, which may be waiting for its own turn.
        """
        step, mark = size or len(keys) or 1, object()
        chunks = [keys[at : at + step] for at in range(0, len(keys), step)]
        return [self._begun(chunk, work, mark) for chunk in chunks]

    def forget(self, part: _Chunk, keys: Iterable[str]) -> None:
        """Let nobody join it for these keys any more."""
        for key in keys:
            if self.parts.get(key) is part:
                del self.parts[key]

    def _begun(self, keys: Sequence[str], work: Work, mark: object) -> _Chunk:
        part = _Chunk(keys, mark)
        self.parts.update(dict.fromkeys(keys, part))
        part.start(lambda: work(keys), lambda: self._landed(part))
        return part

    def _landed(self, part: _Chunk) -> None:
        self.forget(part, part.keys)
        if self.watchers and not part.task.cancelled() and part.task.exception() is None:
            for watcher in self.watchers:
                watcher.update(part.task.result())


class Coalescer:
    """Work on many keys, kept apart by event loop.

    Example:
        >>> async def lengths(words):
        ...     print("fetching", *words)
        ...     return {word: len(word) for word in words}
        >>> async def main():
        ...     joint = Joint()
        ...     both = await asyncio.gather(
        ...         joint.run(["one", "two"], lengths), joint.run(["two", "three"], lengths)
        ...     )
        ...     return [fetched.values for fetched in both]
        >>> run(main())
        fetching one two
        fetching three
        [{'one': 3, 'two': 3}, {'two': 3, 'three': 5}]
    """

    __slots__ = ("_air",)

    def __init__(self) -> None:
        self._air: PerLoop[_InFlight] = PerLoop(_InFlight)

    @contextmanager
    def watch(self) -> Generator[Mapping[str, Any]]:
        """What lands while the block lasts, by key.

        Who looks for something, does not find it and then calls `run` would otherwise
        fetch what landed in between.
        """
        watchers = self._air.get().watchers
        landed: dict[str, Any] = {}
        watchers.append(landed)
        try:
            yield landed
        finally:
            watchers[:] = [each for each in watchers if each is not landed]

    async def run(self, keys: Sequence[str], work: Work, size: int | None = None) -> Fetched:
        """Fetch what belongs to some keys, but for what is being fetched already.

        Args:
            keys: each once.
            work: does so, in a task with the context variables of its first caller.
            size: with how many keys to call it at most; ``None`` for all at once.

        Returns:
            A value for each key.

        Raises:
            Whatever the work raised that concerns these keys. Work that was cancelled, or
            that another caller began five minutes ago, is done anew.
        """
        air, left = self._air.get(), list(keys)
        fetched = Fetched({}, set())
        while left:
            joined, begun = _claimed(air, left, work, size)
            shares = joined | {part: part.keys for part in begun}
            waiting = {part: part.join(WAIT_TIMEOUT if part in joined else None) for part in shares}
            await _all_or_first_error(air, waiting)
            left = []
            for part, waiter in waiting.items():
                if not waiter.cancelled():
                    result = waiter.result()
                    fetched.values.update((key, result[key]) for key in shares[part])
                    fetched.others.update(joined.get(part, ()))
                elif part not in joined:
                    raise asyncio.CancelledError
                else:
                    air.forget(part, shares[part])
                    left += shares[part]
        return fetched


def _claimed(
    air: _InFlight, keys: Sequence[str], work: Work, size: int | None
) -> tuple[dict[_Chunk, list[str]], list[_Chunk]]:
    """The parts to wait for: those of others, with our keys among theirs, and new ones."""
    joined: dict[_Chunk, list[str]] = {}
    free, inside = list[str](), list[str]()
    for key in keys:
        part = air.parts.get(key)
        if part is None:
            free.append(key)
        elif part.is_own_caller:
            inside.append(key)
        else:
            joined.setdefault(part, []).append(key)
    # What asks for its own keys must not wait for itself, nor anybody for that.
    return joined, air.begin(free, work, size) + _InFlight().begin(inside, work, size)


async def _all_or_first_error(
    air: _InFlight, waiting: Mapping[_Chunk, asyncio.Future[Any]]
) -> None:
    """Wait until all parts are done or one failed; what nobody waits for then is given up."""
    try:
        done, _ = await asyncio.wait(waiting.values(), return_when=asyncio.FIRST_EXCEPTION)
        for waiter in done:
            if not waiter.cancelled():
                waiter.result()
    finally:
        for part, waiter in waiting.items():
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # or asyncio would complain that nobody asked
            if part.leave(waiter):
                air.forget(part, part.keys)
                part.task.cancel()
