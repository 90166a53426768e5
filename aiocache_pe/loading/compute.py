"""Computation of missing values: once for all concurrent callers, then stored."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from aiocache_pe import events
from aiocache_pe.codecs.immutable import is_immutable
from aiocache_pe.engine.computation import Computation
from aiocache_pe.engine.engine import Item
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.exceptions import LoadTimeoutError
from aiocache_pe.loading.copying import Outcome, copy_value
from aiocache_pe.loading.lease_wait import LeaseWaiter
from aiocache_pe.loading.options import LoadPolicy, LoadRequest
from aiocache_pe.record import Savings
from aiocache_pe.runtime.single_flight import Flight, Flights, GaveUp
from aiocache_pe.sentinels import MISSING, Sentinel
from aiocache_pe.ttl import parse_ttl


class SharedComputation:
    """The computation of a stream that other callers join, whose savings are known at its end.

    Callers may join until the stream is stored, and from several threads.

    Args:
        namespace: the namespace of the entry.
        computation: the computation.
    """

    def __init__(self, namespace: Namespace, computation: Computation) -> None:
        self._namespace = namespace
        self.computation = computation
        self._uncounted = 0
        self._savings: tuple[float, Savings | None] | None = None

    def count_joined(self) -> None:
        """Count a hit, for a caller that joins."""
        self._namespace.count_hit(self.computation.key)
        self._uncounted += 1
        self._count()

    def settle(self, item: Item) -> None:
        """Count the savings of each caller that joins, by the item of the whole stream."""
        usage = item.value if item.usage is None else item.usage
        self._savings = item.cost, self._namespace.engine.estimate_savings(usage)
        self._count()

    def _count(self) -> None:
        if self._savings is not None:
            callers, self._uncounted = self._uncounted, 0
            self._namespace.counters.add_savings(callers, *self._savings)


class Computer:
    """Computes and stores entries of one namespace."""

    def __init__(self, namespace: Namespace, flights: Flights, lease_waiter: LeaseWaiter) -> None:
        self._namespace = namespace
        self._flights = flights
        self._lease_waiter = lease_waiter

    def make_join(self, policy: LoadPolicy) -> Callable[[str], Coroutine[Any, Any, Any] | None]:
        """Return a function of a key that joins the key's computation in flight.

        For a policy that needs more than the key to wait, the function joins nothing.
        """
        if policy.serve_stale or policy.hard_timeout is not None:
            return lambda _: None
        return partial(self._flights.join, max_wait=policy.lock)

    async def get_or_compute(self, request: LoadRequest, joined: Any = MISSING) -> Outcome:
        """Return the value for a caller that found none; the caller owns the value.

        Args:
            request: the value to compute.
            joined: the result of the function that `make_join` made, if the caller has joined
                a computation already.

        Raises:
            LoadTimeoutError: the hard timeout has passed.
            Exception: the factory raised it.
        """
        key, policy = request.key, request.policy
        outcome: Outcome = joined
        while True:
            if joined is MISSING or isinstance(joined, GaveUp):
                work = self._flights.run(
                    key,
                    lambda flight, max_wait: self._get_or_compute_leased(request, flight, max_wait),
                    policy.lock,
                    None if joined is MISSING else joined,
                )
                hard = policy.hard_timeout
                outcome, is_shared = await (work if hard is None else self._limit(hard, key, work))
                if not is_shared:
                    return outcome

            # Another caller has the same object and may change it.
            own = self._namespace.peek(key)
            if not isinstance(own, Sentinel):
                return Outcome(own, "joined")
            is_current = await self.is_current(outcome, request.tags)
            if is_current and is_immutable(outcome.value):
                self._namespace.count_hit(key)
                return Outcome(outcome.value, "joined")
            own = await self._namespace.get(key)
            if own is not MISSING:
                return Outcome(own, "joined")
            if is_current:
                own = outcome.copy(self._namespace.engine)
                if own is not MISSING:
                    return Outcome(own, "joined")
                return Outcome(await call_factory(request.factory), "miss")
            joined = MISSING

    async def refresh(self, request: LoadRequest, seen: MemoryEntry) -> Outcome:
        """Compute a newer value than that of an entry that is served meanwhile.

        The errors are those of `get_or_compute`.
        """
        key, policy = request.key, request.policy
        request = request._replace(factory=request.background_factory or request.factory)

        async def get_newer(computation: Computation | None = None) -> Any:
            entry = await self._namespace.get_entry(key, computation=computation)
            if entry is None or entry.expires_at == seen.expires_at:
                return MISSING
            return await self._namespace.decode(entry)

        async def work(flight: Flight, max_wait: float | None) -> Outcome:
            computation = self._namespace.make_computation(key, request.tags)
            flight.is_outdated = computation.is_outdated
            value, lease = await self._lease_waiter.get_or_acquire(
                computation, partial(get_newer, computation), max_wait
            )
            if value is not MISSING:
                return self._make_hit(value, computation)
            async with lease:
                return await self.compute(request, computation)

        run = self._flights.run(key, work, policy.lock)
        hard = policy.hard_timeout
        try:
            outcome, is_shared = await (run if hard is None else self._limit(hard, key, run))
        except LoadTimeoutError as error:
            self.count_load_failure(key, error)
            raise
        value = outcome.copy(self._namespace.engine) if is_shared else outcome.value
        if value is MISSING:  # another caller has the only object
            value = await call_factory(request.factory)
        is_stored = await get_newer() is not MISSING
        return Outcome(value, "miss", is_stored=is_stored)

    async def is_current(self, outcome: Outcome, tags: Sequence[str]) -> bool:
        """Return whether an outcome may be served to a caller that joined its computation."""
        if outcome.is_outdated:
            return False
        return outcome.tokens is None or outcome.tokens == await self.get_tag_tokens(tags)

    async def can_join(self, present: Computation, caller: Computation) -> bool:
        """Return whether a caller may have the value of a computation; see `can_serve`."""
        if not present.can_serve(caller):
            return False
        tokens = present.tokens
        return tokens is None or tokens == await self.get_tag_tokens(present.tags)

    async def compute(
        self, request: LoadRequest, computation: Computation | None = None
    ) -> Outcome:
        """Compute the value now, and store it if its policy allows that.

        The value is not stored if its key has changed since the computation began.

        Args:
            request: the value to compute.
            computation: its computation, which has begun; ``None`` to begin one now. Earlier
                computations then do not store their values.
        """
        namespace, key = self._namespace, request.key
        is_refresh, time = computation is None, namespace.time()
        if computation is None:
            computation = namespace.make_computation(key, request.tags)
            await namespace.begin_all([computation], supersede=True)
        tokens = computation.tokens or await self.get_tag_tokens(request.tags)
        computation.tokens = tokens or None
        began = namespace.monotonic()
        try:
            value = await call_factory(request.factory)
        except BaseException as error:
            self.count_load_failure(key, error)
            raise
        seconds = namespace.monotonic() - began
        namespace.emit(events.Loaded, key, seconds)

        is_stored = await self.put(value, request.policy, tokens, seconds, computation)
        computation.is_ending = True
        if is_refresh and (computation.is_refused or computation.is_raised_here):
            # The entry may be older than this value, while a later refresh is still running.
            remove = namespace.engine.backend.delete([key], lambda head: head.created_at < time)
            await namespace.attempt("delete", remove, ())
        return Outcome(
            value,
            "miss",
            is_stored=is_stored,
            is_outdated=computation.may_have_outdated_callers,
            tokens=tokens or None,
        )

    async def get_tag_tokens(self, tags: Sequence[str]) -> dict[str, str]:
        """Return the current tokens of tags; to be called before a value is computed."""
        return await self._namespace.get_tag_tokens(tags) or dict.fromkeys(tags, "unknown")

    async def put(
        self,
        value: Any,
        policy: LoadPolicy,
        tokens: Mapping[str, str],
        seconds: float,
        computation: Computation | SharedComputation,
        *,
        usage: Any = None,
    ) -> bool:
        """Store a computed value if its policy allows that.

        Args:
            value: the value.
            policy: the policy, which may have functions of the value.
            tokens: the tokens of its tags from before the computation.
            seconds: the duration of the computation.
            computation: the computation.
            usage: see `Item.usage`.

        Returns:
            Whether the value is stored.
        """
        shared: SharedComputation | None = None
        if isinstance(computation, SharedComputation):
            shared, computation = computation, computation.computation
        item = self.make_item(computation.key, value, policy, tokens, seconds)
        if item is None:
            return False
        item = item._replace(usage=usage)
        own = {computation.key: computation}
        is_stored = bool(await self._namespace.put_computed([item], own))
        if is_stored and shared is not None:
            shared.settle(item)
        return is_stored

    def make_item(
        self, key: str, value: Any, policy: LoadPolicy, tokens: Mapping[str, str], seconds: float
    ) -> Item | None:
        """Return the item to store for a value; ``None`` if its policy forbids storing.

        A function of the policy that fails costs the storing only, because callers wait for the
        value. The parameters are those of `put`; ``key`` is the
        store key.
        """
        try:
            if policy.cache_if is not None and not policy.cache_if(value):
                return None
            ttl = parse_ttl(policy.ttl(value)) if callable(policy.ttl) else policy.ttl
        except Exception as error:  # noqa: BLE001 - raised by the user's function
            self.count_load_failure(key, error)
            self._namespace.report_unstored(key, error)
            return None
        if ttl is not None and policy.jitter is not None:
            ttl -= policy.jitter(ttl) * random.random()  # noqa: S311 - spreads expiry only
        return Item(
            *(key, value, ttl, tokens, seconds, policy.stale_ttl),
            on_unstorable=policy.on_unstorable,
        )

    def count_load_failure(self, key: str, error: BaseException) -> None:
        """Count and report a factory that raised."""
        if isinstance(error, Exception):
            self._namespace.counters.add("load_failures")
        self._namespace.emit(events.LoadFailed, key, error)

    async def _get_or_compute_leased(
        self, request: LoadRequest, flight: Flight, max_wait: float | None
    ) -> Outcome:
        namespace, key = self._namespace, request.key
        in_flight = namespace.engine.in_flight
        computation = namespace.make_computation(key, request.tags)
        flight.is_outdated = computation.is_outdated

        async def get() -> Any:
            in_flight.discard(key)  # this call reads the store; it does not wait for itself
            value = await namespace.get(key, computation)
            if value is MISSING:
                in_flight.add(key)
            return value

        value, lease = await self._lease_waiter.get_or_acquire(computation, get, max_wait)
        if value is not MISSING:
            return self._make_hit(value, computation)
        async with lease:
            namespace.count_miss(key)
            outcome = await self.compute(request, computation)
            if not outcome.is_stored and len(flight.waiters) > 1:
                await namespace.check_unstored(computation)
                outcome.is_outdated = computation.may_have_outdated_callers
            return outcome

    def _make_hit(self, value: Any, computation: Computation) -> Outcome:
        """Return the outcome of a read; callers that joined it may have come after a change."""
        return Outcome(value, "hit", is_stored=True, is_outdated=not computation.is_watchable)

    async def _limit(self, seconds: float, key: str, work: Awaitable[Any]) -> Any:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await work
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise LoadTimeoutError(key[len(self._namespace.prefix) :], seconds) from error


async def copy_or_compute(value: Any, factory: Callable[[], Any]) -> Outcome:
    """Return a copy of another caller's value; compute one if it cannot be copied."""
    try:
        return Outcome(copy_value(value), "joined")
    except Exception:  # noqa: BLE001 - a class may raise anything while it is copied
        return Outcome(await call_factory(factory), "miss")


async def call_factory(factory: Callable[[], Any]) -> Any:
    """Call a factory and await its result if that is awaitable."""
    result = factory()
    return await result if inspect.isawaitable(result) else result
