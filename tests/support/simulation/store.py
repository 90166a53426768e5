"""Store behind a simulated network: it delays, refuses, loses answers and restarts.

It is a `Backend` with leases over a `MemoryBackend`. It has neither `Peekable` nor `Coherent`,
as a distant server without client tracking.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from aiocache_pe.backends.base import Change, Condition, Lease, ReadResult
from aiocache_pe.backends.memory import MemoryBackend, MemoryLease
from aiocache_pe.clock import Clock
from aiocache_pe.exceptions import StoreUnavailableError
from aiocache_pe.record import Head, Record
from aiocache_pe.runtime.generations import Generation
from aiocache_pe.sentinels import PENDING, Pending

T = TypeVar("T")


class Faults(NamedTuple):
    """Probabilities of the faults of one call.

    Attributes:
        refuse: the store does not carry the call out, and the caller gets an error.
        lose: the store carries it out, and the caller gets an error.
        restart: the store loses all entries and leases before the call.
        slow: the call takes some time instead of a turn of the loop.
    """

    refuse: float = 0.0
    lose: float = 0.0
    restart: float = 0.0
    slow: float = 0.5


class SimulatedStore:
    """A store whose calls take time and may fail.

    Args:
        chance: the source of all random choices.
        clock: the time.
        faults: the probabilities of faults.
    """

    name = "simulated"

    def __init__(self, chance: random.Random, clock: Clock, faults: Faults) -> None:
        self._chance = chance
        self._clock = clock
        self.faults = faults
        self.memory = MemoryBackend(clock=clock)

    def __repr__(self) -> str:
        return "SimulatedStore()"

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """See `Backend.read`."""
        return await self._call(lambda: self.memory.read(keys))

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """See `Backend.write`."""
        written = await self._call(lambda: self.memory.write(records))
        return [Record(record.head, record.payload) for record in written]

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """See `Backend.delete`."""
        return await self._call(lambda: self.memory.delete(keys, only))

    async def update(self, key: str, change: Change) -> Record | None:
        """See `Backend.update`."""
        return await self._call(lambda: self.memory.update(key, change))

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """See `Backend.scan`; each entry is a batch of its own."""
        async for heads in self.memory.scan(prefix, pattern):
            for head in heads:
                await self._travel()
                yield [head]

    async def clear(self, prefix: str) -> int:
        """See `Backend.clear`."""
        return await self._call(lambda: self.memory.clear(prefix))

    async def close(self) -> None:
        """See `Backend.close`."""

    async def try_lease(self, key: str, version: str = "") -> Lease | None:
        """See `Leasing.try_lease`."""
        work = self._call(lambda: self.memory.try_lease(key, version))
        acquiring = asyncio.ensure_future(work)
        try:
            lease = await asyncio.shield(acquiring)
        except asyncio.CancelledError:
            acquiring.add_done_callback(_release_unclaimed)
            raise
        return None if lease is None else _SimulatedLease(lease)

    def begin(self, key: str) -> Pending:
        """See `Generational.begin`."""
        return PENDING

    def is_raised(self, key: str, generation: SimulatedGeneration) -> bool:
        """See `Generational.is_raised`."""
        return False

    async def begin_and_read(
        self, keys: Sequence[str], *, supersede: bool = False
    ) -> tuple[Sequence[SimulatedGeneration], Mapping[str, ReadResult]]:
        """See `Generational.begin_and_read`."""

        async def begin() -> tuple[Sequence[SimulatedGeneration], Mapping[str, ReadResult]]:
            memory = self.memory
            generations, found = await memory.begin_and_read(keys, supersede=supersede)
            return [SimulatedGeneration(memory, each) for each in generations], found

        return await self._call(begin)

    async def write_computed(
        self, records: Sequence[Record], generations: Sequence[SimulatedGeneration]
    ) -> Sequence[Record | None]:
        """See `Generational.write_computed`."""

        async def write() -> Sequence[Record | None]:
            if any(each.memory is not self.memory for each in generations):
                return [None] * len(records)
            own = [each.generation for each in generations]
            written = await self.memory.write_computed(records, own)
            return [each and Record(each.head, each.payload) for each in written]

        return await self._call(write)

    async def invalidate(self, prefix: str, pattern: str) -> AsyncIterator[Sequence[Head]]:
        """See `Generational.invalidate`."""

        async def invalidate() -> list[Sequence[Head]]:
            return [heads async for heads in self.memory.invalidate(prefix, pattern)]

        for heads in await self._call(invalidate):
            yield heads

    async def _call(self, work: Callable[[], Awaitable[T]]) -> T:
        fate = self._chance.random()
        refuse, lose, restart, _ = self.faults
        await self._travel()
        if fate < refuse:
            raise StoreUnavailableError("the simulated store refuses the call")
        if fate > 1 - restart:
            self.memory = MemoryBackend(clock=self._clock)
        result = await work()  # one atomic step: no method of the memory store waits
        await self._travel()
        if fate < refuse + lose:
            raise StoreUnavailableError("the simulated network loses the answer")
        return result

    async def _travel(self) -> None:
        is_slow = self._chance.random() < self.faults.slow
        await asyncio.sleep(self._chance.uniform(0, 0.1) if is_slow else 0)


class SimulatedGeneration(NamedTuple):
    """A generation, and the memory that it was taken from; a restart raises it."""

    memory: MemoryBackend
    generation: Generation


class _SimulatedLease:
    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    async def release(self) -> None:
        # Without a fault, as each store releases the lease in the end.
        await self._lease.release()


def _release_unclaimed(acquiring: asyncio.Task[MemoryLease | None]) -> None:
    if not acquiring.cancelled() and acquiring.exception() is None:
        lease = acquiring.result()
        if lease is not None:
            asyncio.ensure_future(lease.release())  # noqa: RUF006 - ends at its first step
