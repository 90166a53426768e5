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
from aiocache_pe.engine.computation import Computation
from aiocache_pe.engine.engine import Item
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.loading.compute import Computer, is_young
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
        max_age: the greatest age of an entry that may be served, in seconds; ``None`` for any.
        outcomes: receives the outcome of each key; ``None`` if the call is not observed.
    """

    keys: Sequence[str]
    compute: Callable[[Sequence[str]], Awaitable[Sequence[Any]]]
    policy: LoadPolicy
    tags: Callable[[str], Sequence[str]]
    size: int | None = None
    concurrency: int = 1
    max_age: float | None = None
    outcomes: dict[str, Outcome] | None = None

    @property
    def is_detailed(self) -> bool:
        """Return whether the entries count, not only their values."""
        return self.max_age is not None or self.outcomes is not None

    def note(self, key: str, outcome: Outcome) -> None:
        """Note the outcome of a key."""
        if self.outcomes is not None:
            self.outcomes[key] = outcome


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
        computations: dict[str, Computation] = {}
        semaphore = asyncio.Semaphore(request.concurrency)
        compute = partial(self._compute_chunk, request, semaphore, computations)
        if mode is Mode.REFRESH:
            # Not joined: a computation that began earlier may have read an outdated source.
            await self._begin(request.keys, request, computations)
            await self._namespace.begin_all(list(computations.values()), supersede=True)
            refreshed = await Coalescer().run(request.keys, compute, request.size)
            return self._take_values(request, refreshed.values)

        waited = self._namespace.start_timer(events.Joined)
        values = dict(known or {})
        if mode is Mode.READ_ONLY:
            return await self._read_or_compute(request, values)
        with self._coalescer.watch() as arrived:
            await self._add_stored_or_begin(request, values, computations)
            missing = [key for key in request.keys if key not in values]
            shared = {
                key: outcome
                for key in missing
                if (outcome := arrived.get(key)) is not None
                and outcome.computation.can_serve(computations[key])
            }

        missing = [key for key in missing if key not in shared]
        if missing:
            fetched = await self._coalescer.run(
                *(missing, compute, request.size, computations),
                lambda present, key: present[key].can_serve(computations[key]),
            )
            shared |= {key: fetched.values[key] for key in fetched.shared}
            own = {key: fetched.values[key] for key in missing if key not in fetched.shared}
            values |= self._take_values(request, own)
        if not shared:
            return values
        current = {
            key: outcome
            for key, outcome in shared.items()
            if outcome.tokens is None
            or outcome.tokens == await self._computer.get_tag_tokens(request.tags(key))
        }
        for key in current:
            request.note(key, Outcome(None, "joined"))
            self._namespace.note_joined(key, waited)
        values |= await self._copy_shared(request, current)
        if len(current) < len(shared):
            outdated = [key for key in shared if key not in current]
            values |= await self.get_or_compute(request._replace(keys=outdated), mode)
        return values

    def _take_values(
        self, request: BatchRequest, outcomes: Mapping[str, Outcome]
    ) -> dict[str, Any]:
        """Note the outcomes of computed keys, and return their values."""
        for key, outcome in outcomes.items():
            request.note(key, outcome)
        return {key: outcome.value for key, outcome in outcomes.items()}

    async def _read_or_compute(
        self, request: BatchRequest, values: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the stored values, and computed ones that are not stored for the other keys."""
        if request.is_detailed:
            await self._add_entries(request, values, {})
        else:
            await self._add_stored(request.keys, values)
        missing = [key for key in request.keys if key not in values]
        for key in missing:
            self._namespace.count_miss(key)
            request.note(key, Outcome(None, "miss"))
        return values | await compute_uncached(request._replace(keys=missing))

    async def _begin(
        self, keys: Iterable[str], request: BatchRequest, computations: dict[str, Computation]
    ) -> None:
        for count, key in enumerate(keys, 1):
            computations[key] = self._namespace.make_computation(key, request.tags(key))
            await checkpoint(count)

    async def _add_stored_or_begin(
        self, request: BatchRequest, values: dict[str, Any], computations: dict[str, Computation]
    ) -> None:
        """Add the stored values, and begin the computations of the other keys."""
        if request.is_detailed:
            await self._begin(request.keys, request, computations)
            await self._add_entries(request, values, computations)
            return
        await self._add_peeked(request.keys, values)
        missing = [key for key in request.keys if key not in values]
        await self._begin(missing, request, computations)
        # The generations precede a read. Without waiting, the store has been read too early.
        pending = await self._add_peeked(missing, values)
        begun = [each for each in computations.values() if each.is_pending]
        unread = [key for key in pending if not computations[key].is_pending]
        if begun:
            keys = [computation.key for computation in begun]
            values |= await self._namespace.get_many(keys, begun)
        if unread:
            values |= await self._namespace.get_many(unread)

    async def _add_stored(self, keys: Iterable[str], values: dict[str, Any]) -> None:
        pending = await self._add_peeked(keys, values)
        if pending:
            values |= await self._namespace.get_many(pending)

    async def _add_entries(
        self,
        request: BatchRequest,
        values: dict[str, Any],
        computations: Mapping[str, Computation],
    ) -> None:
        """Add the values of entries that are young enough, read after their computations began."""
        namespace, keys = self._namespace, request.keys
        held = {key: namespace.engine.get_tier_entry(key) for key in keys}
        timer = namespace.start_timer(events.Hit)
        begun = [each for each in computations.values() if each.is_pending]
        pending = dict.fromkeys(computation.key for computation in begun)
        entries = await namespace.get_entries([*pending], computations=begun) if begun else {}
        others = [key for key in keys if key not in pending]
        entries |= await namespace.get_entries(others) if others else {}
        for count, (key, entry) in enumerate(entries.items(), 1):
            if is_young(entry, request.max_age, namespace.time()):
                tier = "memory" if entry is held[key] else namespace.store_name
                value = await namespace.serve(entry, tier, timer)
                if value is not MISSING:
                    values[key] = value
                    request.note(key, Outcome(value, "hit", entry=entry, tier=tier))
            await checkpoint(count)

    async def _add_peeked(self, keys: Iterable[str], values: dict[str, Any]) -> list[str]:
        """Add the values that need no waiting; return the keys that must be read."""
        pending: list[str] = []
        for count, key in enumerate([key for key in keys if key not in values], 1):
            value = self._namespace.peek(key)
            if value is PENDING:
                pending.append(key)
            elif value is not MISSING:
                values[key] = value
            await checkpoint(count)
        return pending

    async def _compute_chunk(
        self,
        request: BatchRequest,
        semaphore: asyncio.Semaphore,
        computations: Mapping[str, Computation],
        keys: Sequence[str],
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
                computer.count_load_failure(keys[0], error, namespace.monotonic() - began)
                raise
            seconds = (namespace.monotonic() - began) / len(keys)
            for key in keys:
                namespace.emit(events.Loaded, key, seconds)

            items: list[Item] = []
            own_tokens = {key: {tag: tokens[tag] for tag in tags[key]} for key in keys}
            for key, value in values.items():
                computations[key].tokens = own_tokens[key] or None
                item = computer.make_item(
                    computations[key], value, request.policy, own_tokens[key], seconds
                )
                if item is not None:
                    items.append(item)
            stored = await namespace.put_computed(items, computations)
            outcomes: dict[str, Outcome] = {}
            for key, value in values.items():
                computations[key].is_ending = True
                outcomes[key] = Outcome(
                    value,
                    "miss",
                    is_stored=key in stored,
                    tokens=own_tokens[key] or None,
                    computation=computations[key],
                    reason=computations[key].reason,
                )
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
