"""Loading many values at once, of which one call computes some.

What is stored is read in one round trip; what is missing is computed in parts, each of
which is stored when it is done. What overlapping batches miss is computed once for all of
them (`joint`), in one loop: other processes are not asked, for that would be a lease for
each item.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from aiocache_pe import events
from aiocache_pe.context import Mode
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.loading.compute import Computer
from aiocache_pe.loading.copying import Outcome, copy_or_share
from aiocache_pe.loading.options import LoadPolicy
from aiocache_pe.runtime.coalescing import Coalescer
from aiocache_pe.runtime.loops import checkpoint
from aiocache_pe.sentinels import MISSING, PENDING


class BatchRequest(NamedTuple):
    """Values that somebody wants.

    Attributes:
        keys: their store keys, each once.
        compute: computes the values of some of them, in their order.
        terms: on which they are had.
        tags: says the tags of one.
        size: how many to compute in one call at most; ``None`` for all.
        concurrency: how many calls at a time.
    """

    keys: Sequence[str]
    compute: Callable[[Sequence[str]], Awaitable[Sequence[Any]]]
    policy: LoadPolicy
    tags: Callable[[str], Sequence[str]]
    size: int | None = None
    concurrency: int = 1


class BatchLoader:
    """Loads many values of one namespace.

    Args:
        space: the namespace.
        computing: what stores there.
        joint: what is under way, shared by all views of the namespace.
    """

    __slots__ = ("_computing", "_joint", "_space")

    def __init__(self, space: Namespace, computing: Computer, joint: Coalescer) -> None:
        self._space = space
        self._computing = computing
        self._joint = joint

    async def get_or_compute(
        self, wanted: BatchRequest, mode: Mode | None, known: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """A value for each key.

        Args:
            wanted: which, and how to compute them.
            mode: how calls are steered.
            known: those that were looked up before.

        Raises:
            Whatever the function raised; what was computed by other calls of it is stored.
        """
        gate = asyncio.Semaphore(wanted.concurrency)
        anew = partial(self._anew, wanted, gate)
        if mode is Mode.REFRESH:
            # Not shared: one that began earlier may have seen what is outdated by now.
            alone = await Coalescer().run(wanted.keys, anew, wanted.size)
            return {key: computed.value for key, computed in alone.values.items()}
        values = dict(known or {})
        with self._joint.watch() as landed:
            await self._look(wanted.keys, values)
            missing = [key for key in wanted.keys if key not in values]
            if mode is Mode.READ_ONLY:
                for key in missing:
                    self._space.count_miss(key)
                return values | await compute_uncached(wanted._replace(keys=missing))
            others = {key: landed[key] for key in missing if key in landed}
        missing = [key for key in missing if key not in others]
        if missing:
            fetched = await self._joint.run(missing, anew, wanted.size)
            for key, computed in fetched.values.items():
                if key in fetched.shared:
                    others[key] = computed
                else:
                    values[key] = computed.value
        return values | await self._own(others) if others else values

    async def _look(self, keys: Iterable[str], values: dict[str, Any]) -> None:
        """Add what is stored."""
        pending: list[str] = []
        for count, key in enumerate([key for key in keys if key not in values], 1):
            value = self._space.peek(key)
            if value is PENDING:
                pending.append(key)
            elif value is not MISSING:
                values[key] = value
            await checkpoint(count)
        if pending:
            values |= await self._space.get_many(pending)

    async def _anew(
        self, wanted: BatchRequest, gate: asyncio.Semaphore, keys: Sequence[str]
    ) -> Mapping[str, Outcome]:
        """Values computed now, and stored."""
        space, computing = self._space, self._computing
        async with gate:
            for key in keys:
                space.count_miss(key)
            tags = {key: wanted.tags(key) for key in keys}
            tokens = await computing.get_tag_tokens(
                sorted({tag for each in tags.values() for tag in each})
            )
            began = space.monotonic()
            try:
                values = dict(zip(keys, await wanted.compute(keys), strict=True))
            except BaseException as error:
                computing.count_load_failure(keys[0], error)
                raise
            seconds = (space.monotonic() - began) / len(keys)
            for key in keys:
                space.emit(events.Loaded, key, seconds)
            items = [
                computing.make_item(
                    key, value, wanted.policy, {tag: tokens[tag] for tag in tags[key]}, seconds
                )
                for key, value in values.items()
            ]
            stored = await space.put_storable([item for item in items if item is not None])
            made = {
                key: Outcome(value, "miss", is_stored=key in stored)
                for key, value in values.items()
            }
            for each in made.values():
                each.save_copy()
            return made

    async def _own(self, others: Mapping[str, Outcome]) -> dict[str, Any]:
        """Values of the caller's own for those that were computed for others."""
        own: dict[str, Any] = {}
        await self._look([key for key, each in others.items() if each.is_stored], own)
        for key, computed in others.items():
            if key not in own:
                self._space.count_hit(key)
                own[key] = copy_or_share(computed.copy_source)
        return own


async def compute_uncached(wanted: BatchRequest) -> dict[str, Any]:
    """Values computed for one caller alone, and not stored."""
    gate = asyncio.Semaphore(wanted.concurrency)

    async def work(keys: Sequence[str]) -> Mapping[str, Any]:
        async with gate:
            return dict(zip(keys, await wanted.compute(keys), strict=True))

    return (await Coalescer().run(wanted.keys, work, wanted.size)).values
