"""Computation of missing values: once for all concurrent callers, then stored."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec.structs import astuple

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
from aiocache_pe.loading.previous import UNCHANGED, Previous, get_unchanged, takes_previous
from aiocache_pe.loading.remembered_errors import RememberedErrors
from aiocache_pe.record import Savings
from aiocache_pe.runtime.error_copies import copy_error
from aiocache_pe.runtime.randomness import RANDOM
from aiocache_pe.runtime.single_flight import Flight, Flights, GaveUp
from aiocache_pe.sentinels import MISSING, PENDING, Missing, Pending, Sentinel
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
        self._namespace.note_joined(self.computation.key)
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
            cost, saves = self._savings
            self._namespace.counters.add_savings(callers, cost, saves)
            if callers:
                saved = cost, *astuple(saves or Savings())
                total = (callers * each for each in saved)
                self._namespace.emit(events.Saved, self.computation.key, *total)


class Computer:
    """Computes and stores entries of one namespace."""

    def __init__(
        self,
        namespace: Namespace,
        flights: Flights,
        lease_waiter: LeaseWaiter,
        errors: RememberedErrors,
    ) -> None:
        self._namespace = namespace
        self._errors = errors
        self._flights = flights
        self._lease_waiter = lease_waiter

    def make_join(self, policy: LoadPolicy) -> Callable[[str], Coroutine[Any, Any, Any] | None]:
        """Return a function of a key that joins the key's computation in flight.

        For a policy that needs more than the key to wait, the function joins nothing.
        """
        if policy.serve_stale or policy.hard_timeout is not None:
            return lambda _: None
        return partial(self._flights.join, max_wait=policy.lock)

    async def find(
        self, key: str, max_age: float | None = None, computation: Computation | None = None
    ) -> Outcome | Missing:
        """Return the stored value of a key, or `MISSING`; a hit is counted, a miss is not.

        Args:
            key: the store key.
            max_age: the greatest age of the entry in seconds; ``None`` for any.
            computation: the computation of the key, which begins now; ``None`` for a mere read.
        """
        namespace, begun = self._namespace, tuple[Computation, ...]()
        if computation is not None:
            computation.begin()
            begun = (computation,) if computation.is_pending else ()
        timer = namespace.start_timer(events.Hit)
        held = namespace.engine.get_tier_entry(key)
        entry: MemoryEntry | Missing | Pending | None = namespace.peek_entry(key)
        if entry is PENDING or (entry is MISSING and begun):
            entry = (await namespace.get_entries([key], computations=begun)).get(key)
            begun = ()
        if isinstance(entry, MemoryEntry):
            if is_young(entry, max_age, namespace.time()):
                tier = "memory" if entry is held else namespace.store_name
                value = await namespace.serve(entry, tier, timer)
                if value is not MISSING:
                    return Outcome(value, "hit", entry=entry, tier=tier)
            await namespace.begin_all(begun)
        return MISSING

    async def get_or_compute(
        self, request: LoadRequest, joined: Any = MISSING, began: float | None = None
    ) -> Outcome:
        """Return the value for a caller that found none; the caller owns the value.

        Args:
            request: the value to compute.
            joined: the result of the function that `make_join` made, if the caller has joined
                a computation already.
            began: the time at which the caller joined it, for an event.

        Raises:
            LoadTimeoutError: the hard time-out has passed.
            Exception: the factory raised it.
        """
        key, policy = request.key, request.policy
        outcome: Outcome = joined
        if began is None:
            began = self._namespace.start_timer(events.Joined)
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
            own = await self._take_shared(request, outcome)
            if own is not None:
                if own.source == "joined":
                    self._namespace.note_joined(key, began)
                return own
            joined = MISSING

    async def _take_shared(self, request: LoadRequest, outcome: Outcome) -> Outcome | None:
        """Return an outcome of the caller's own after it joined a computation.

        The result is ``None`` if the caller may not have the value of this computation.
        """
        namespace, key, max_age = self._namespace, request.key, request.max_age
        own = namespace.peek(key) if max_age is None else PENDING
        if not isinstance(own, Sentinel):
            return Outcome(own, "joined")
        is_current = await self.is_current(outcome, request.tags)
        if max_age is not None:
            is_current = is_current and outcome.source == "miss"  # computed by that caller
        if is_current and is_immutable(outcome.value):
            namespace.count_hit(key)
            return Outcome(outcome.value, "joined")
        found = await self.find(key, max_age)
        if found is not MISSING:
            return Outcome(found.value, "joined")
        if not is_current:
            return None
        own = outcome.copy(namespace.engine)
        if own is not MISSING:
            return Outcome(own, "joined")
        return Outcome(await call_factory(request.factory), "miss")

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
                return self._mark_hit(Outcome(value, "hit"), computation)
            async with lease:
                return await self.compute(request, computation)

        async def run() -> tuple[Outcome, bool]:
            while True:
                outcome, is_shared = await self._flights.run(key, work, policy.lock)
                if not is_shared or await self.is_current(outcome, request.tags):
                    return outcome, is_shared

        hard = policy.hard_timeout
        try:
            outcome, is_shared = await (run() if hard is None else self._limit(hard, key, run()))
        except LoadTimeoutError as error:
            self.count_load_failure(key, error, error.seconds)
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
        policy, factory, previous = request.policy, request.factory, None
        if takes_previous(factory):
            previous = await self._find_previous(key)
            factory = partial(factory, previous=previous)
            policy = policy._replace(keeps_expired=True)
        began = namespace.monotonic()
        try:
            value = await call_factory(factory)
            if value is UNCHANGED:
                value = get_unchanged(previous)
        except BaseException as error:
            self.count_load_failure(key, error, namespace.monotonic() - began)
            if policy.error_ttl is not None:
                self._errors.put(computation, error, policy.error_ttl)
            raise
        seconds = namespace.monotonic() - began
        namespace.emit(events.Loaded, key, seconds)

        is_stored = await self.put(value, policy, tokens, seconds, computation)
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
            reason=computation.reason,
        )

    async def _find_previous(self, key: str) -> Previous[Any] | None:
        """Return the value of a key, live or expired, and its age; uncounted."""
        namespace = self._namespace
        entry = await namespace.get_entry(key, stale=True)
        value = MISSING if entry is None else await namespace.decode(entry)
        if entry is None or value is MISSING:
            return None
        return Previous(value, max(0, int(namespace.time() - entry.created_at)))

    async def _raise_remembered(self, request: LoadRequest, computation: Computation) -> None:
        """Raise a copy of the exception of an earlier computation, if it is remembered."""
        found = None if request.policy.error_ttl is None else self._errors.find(request.key)
        if found is None:
            return
        if not await self.can_join(found.computation, computation):
            self._errors.forget(request.key)
            return
        self._namespace.count_hit(request.key)
        raise copy_error(found.error)

    async def get_tag_tokens(
        self, tags: Sequence[str], *, from_store: bool = False
    ) -> dict[str, str]:
        """Return the current tokens of tags; to be called before a value is computed."""
        tokens = await self._namespace.get_tag_tokens(tags, from_store=from_store)
        return tokens or dict.fromkeys(tags, "unknown")

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
        item = self.make_item(computation, value, policy, tokens, seconds)
        if item is None:
            return False
        item = item._replace(usage=usage)
        own = {computation.key: computation}
        is_stored = bool(await self._namespace.put_computed([item], own))
        if is_stored and shared is not None:
            shared.settle(item)
        return is_stored

    def make_item(
        self,
        computation: Computation,
        value: Any,
        policy: LoadPolicy,
        tokens: Mapping[str, str],
        seconds: float,
    ) -> Item | None:
        """Return the item to store for a value; ``None`` if its policy forbids storing.

        A function of the policy that fails costs the storing only, because callers wait for the
        value. The parameters are those of `put`. The computation gets the reason.
        """
        key = computation.key
        try:
            if policy.cache_if is not None and not policy.cache_if(value):
                computation.reason = "cache_if forbids it"
                return None
            ttl = parse_ttl(policy.ttl(value)) if callable(policy.ttl) else policy.ttl
        except Exception as error:  # noqa: BLE001 - raised by the user's function
            self.count_load_failure(key, error)
            namespace = self._namespace
            namespace.failure_log.report_failed_option(key[len(namespace.prefix) :], error)
            computation.reason = f"ttl or cache_if raised {type(error).__name__}: {error}"
            return None
        if ttl is not None and policy.jitter is not None:
            ttl -= policy.jitter(ttl) * RANDOM.random()
        stale_ttl = policy.stale_ttl
        if stale_ttl is None and policy.keeps_expired:
            stale_ttl = ttl
        return Item(
            *(key, value, ttl, tokens, seconds, stale_ttl),
            on_unstorable=policy.on_unstorable,
        )

    def count_load_failure(self, key: str, error: BaseException, seconds: float = 0.0) -> None:
        """Count and report a factory that raised, after some seconds."""
        if isinstance(error, Exception):
            self._namespace.counters.add("load_failures")
        self._namespace.emit(events.LoadFailed, key, error, seconds)

    async def _get_or_compute_leased(
        self, request: LoadRequest, flight: Flight, max_wait: float | None
    ) -> Outcome:
        namespace, key = self._namespace, request.key
        in_flight, began = namespace.engine.in_flight, namespace.start_timer(events.Miss)
        computation = namespace.make_computation(key, request.tags)
        flight.is_outdated = computation.is_outdated

        async def get() -> Any:
            in_flight.discard(key)  # this call reads the store; it does not wait for itself
            found = await self.find(key, request.max_age, computation)
            if found is MISSING:
                in_flight.add(key)
            return found

        found, lease = await self._lease_waiter.get_or_acquire(computation, get, max_wait)
        if found is not MISSING:
            return self._mark_hit(found, computation)
        async with lease:
            await self._raise_remembered(request, computation)
            namespace.count_miss(key, began)
            outcome = await self.compute(request, computation)
            if not outcome.is_stored and len(flight.waiters) > 1:
                await namespace.check_unstored(computation)
                outcome.is_outdated = computation.may_have_outdated_callers
            return outcome

    def _mark_hit(self, found: Outcome, computation: Computation) -> Outcome:
        """Return the outcome of a read; callers that joined it may have come after a change."""
        found.is_stored, found.is_outdated = True, not computation.is_watchable
        return found

    async def _limit(self, seconds: float, key: str, work: Awaitable[Any]) -> Any:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await work
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise LoadTimeoutError(key[len(self._namespace.prefix) :], seconds) from error


def is_young(entry: MemoryEntry, max_age: float | None, now: float) -> bool:
    """Return whether an entry is not older than an age in seconds; ``None`` for any age."""
    return max_age is None or now - entry.created_at <= max_age


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
