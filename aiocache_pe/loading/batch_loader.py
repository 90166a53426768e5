"""Loading of many values at once.

Stored values are read in one round trip. Missing values are computed in chunks, and each chunk is
stored when it is done. Values that several overlapping batches miss are computed once for all of
them (`aiocache_pe.runtime.coalescing`). This holds within one event loop only, because other
processes could only take part through a lease for each item.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from aiocache_pe import events
from aiocache_pe.context import Mode
from aiocache_pe.engine.engine import Item
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.loading.compute import Computer
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.options import LoadPolicy
from aiocache_pe.runtime.coalescing import Coalescer
from aiocache_pe.runtime.loops import checkpoint
from aiocache_pe.sentinels import MISSING, PENDING


class BatchRequest(NamedTuple):
    """A request for many values.

    Attributes:
        keys: the store keys, without duplicates.
        compute: computes the values of some keys, in their order.
        policy: the rules.
        tags: returns the tags of a key.
        size: maximum number of values that one call computes; ``None`` for no limit.
        concurrency: maximum number of calls at a time.
    """

    keys: Sequence[str]
    compute: Callable[[Sequence[str]], Awaitable[Sequence[Any]]]
    policy: LoadPolicy
    tags: Callable[[str], Sequence[str]]
    size: int | None = None
    concurrency: int = 1


class BatchLoader:
    """Loads many values of one namespace."""

    def __init__(self, namespace: Namespace, computer: Computer, coalescer: Coalescer) -> None:
        self._namespace = namespace
        self._computer = computer
        self._coalescer = coalescer

    async def get_or_compute(
        self, request: BatchRequest, mode: Mode | None, known: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return a value for each key.

        Args:
            request: the values to load.
            mode: the mode of the call.
            known: values that were read already.

        Raises:
            Exception: the function raised it; the values of its other calls are stored.
        """
        semaphore = asyncio.Semaphore(request.concurrency)
        compute = partial(self._compute_chunk, request, semaphore)
        if mode is Mode.REFRESH:
            # Not joined: a computation that began earlier may have read an outdated source.
            refreshed = await Coalescer().run(request.keys, compute, request.size)
            return {key: outcome.value for key, outcome in refreshed.values.items()}

        values = dict(known or {})
        with self._coalescer.watch() as arrived:
            await self._add_stored(request.keys, values)
            missing = [key for key in request.keys if key not in values]
            if mode is Mode.READ_ONLY:
                for key in missing:
                    self._namespace.count_miss(key)
                return values | await compute_uncached(request._replace(keys=missing))
            shared = {key: arrived[key] for key in missing if key in arrived}

        missing = [key for key in missing if key not in shared]
        if missing:
            fetched = await self._coalescer.run(missing, compute, request.size)
            for key, outcome in fetched.values.items():
                if key in fetched.shared:
                    shared[key] = outcome
                else:
                    values[key] = outcome.value
        return values | await self._copy_shared(request, shared) if shared else values

    async def _add_stored(self, keys: Iterable[str], values: dict[str, Any]) -> None:
        pending: list[str] = []
        for count, key in enumerate([key for key in keys if key not in values], 1):
            value = self._namespace.peek(key)
            if value is PENDING:
                pending.append(key)
            elif value is not MISSING:
                values[key] = value
            await checkpoint(count)
        if pending:
            values |= await self._namespace.get_many(pending)

    async def _compute_chunk(
        self, request: BatchRequest, semaphore: asyncio.Semaphore, keys: Sequence[str]
    ) -> Mapping[str, Outcome]:
        namespace, computer = self._namespace, self._computer
        async with semaphore:
            for key in keys:
                namespace.count_miss(key)
            tags = {key: request.tags(key) for key in keys}
            tokens = await computer.get_tag_tokens(
                sorted({tag for key_tags in tags.values() for tag in key_tags})
            )

            began = namespace.monotonic()
            try:
                values = dict(zip(keys, await request.compute(keys), strict=True))
            except BaseException as error:
                computer.count_load_failure(keys[0], error)
                raise
            seconds = (namespace.monotonic() - began) / len(keys)
            for key in keys:
                namespace.emit(events.Loaded, key, seconds)

            items: list[Item] = []
            for key, value in values.items():
                own_tokens = {tag: tokens[tag] for tag in tags[key]}
                item = computer.make_item(key, value, request.policy, own_tokens, seconds)
                if item is not None:
                    items.append(item)
            stored = await namespace.put_storable(items)
            outcomes: dict[str, Outcome] = {}
            for key, value in values.items():
                outcomes[key] = Outcome(value, "miss", is_stored=key in stored)
                outcomes[key].prepare_copies(namespace.engine, key)
            return outcomes

    async def _copy_shared(
        self, request: BatchRequest, shared: Mapping[str, Outcome]
    ) -> dict[str, Any]:
        own: dict[str, Any] = {}
        await self._add_stored([key for key, outcome in shared.items() if outcome.is_stored], own)
        for key, outcome in shared.items():
            copied = outcome.copy(self._namespace.engine) if key not in own else MISSING
            if copied is not MISSING:
                self._namespace.count_hit(key)
                own[key] = copied
        uncopied = [key for key in shared if key not in own]
        return own | await compute_uncached(request._replace(keys=uncopied)) if uncopied else own


async def compute_uncached(request: BatchRequest) -> dict[str, Any]:
    """Compute the values for one caller, and do not store them."""
    semaphore = asyncio.Semaphore(request.concurrency)

    async def compute(keys: Sequence[str]) -> Mapping[str, Any]:
        async with semaphore:
            return dict(zip(keys, await request.compute(keys), strict=True))

    return (await Coalescer().run(request.keys, compute, request.size)).values
