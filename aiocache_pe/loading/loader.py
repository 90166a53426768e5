"""Entry point of loading: reads and computes the entries of one namespace for all callers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from aiocache_pe import context, events
from aiocache_pe._validation import check_plain_function
from aiocache_pe.context import Call, Cassette, Control, Mode
from aiocache_pe.engine.engine import Item
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.events import EventBus
from aiocache_pe.eviction.bounded_map import BoundedMap
from aiocache_pe.keys.store_keys import check_key, check_keys, check_tags
from aiocache_pe.loading.batch_loader import BatchLoader
from aiocache_pe.loading.compute import Computer, call_factory
from aiocache_pe.loading.copying import Outcome, Source
from aiocache_pe.loading.key_lock import KeyLock
from aiocache_pe.loading.lease_wait import LeaseWaiter
from aiocache_pe.loading.options import (
    Lifetime,
    LoadOptions,
    LoadPolicy,
    LoadRequest,
    parse_options,
    parse_wait,
)
from aiocache_pe.loading.shared_state import SharedState
from aiocache_pe.loading.stale import StaleEntries
from aiocache_pe.loading.watch import Watch
from aiocache_pe.runtime.loops import apply_in_slices, checkpoint
from aiocache_pe.sentinels import DEFAULT, MISSING, PENDING, Default, Missing, Sentinel
from aiocache_pe.ttl import TTL, Duration, parse_ttl


class Loader:
    """Reads and computes entries of one namespace.

    Attributes:
        namespace: the namespace.
        computer: computes and stores its entries.
        lease_waiter: acquires its leases.
        batch_loader: reads and computes many entries at once.
    """

    def __init__(self, shared: SharedState, namespace: str, ttl: float | None) -> None:
        self._shared = shared
        self._ttl = ttl
        self.namespace = shared.reporter.get_namespace(namespace)
        self.lease_waiter = LeaseWaiter(self.namespace)
        self.computer = Computer(self.namespace, shared.flights, self.lease_waiter, shared.errors)
        self.batch_loader = BatchLoader(self.namespace, self.computer, shared.coalescer)
        self._stale = StaleEntries(self.namespace, self.computer, shared.refreshes)

    def for_namespace(self, namespace: str) -> Loader:
        """Return the loader of another namespace of the same manager."""
        return Loader(self._shared, namespace, self._ttl)

    @property
    def max_entries(self) -> int | None:
        """Return the greatest number of entries that the manager allows; ``None`` for no bound."""
        bound: int | None = self._shared.settings.get("max_entries")
        return bound

    @property
    def event_bus(self) -> EventBus:
        """Return the bus that delivers the events of all namespaces of the manager."""
        return self.namespace.engine.events

    @property
    def memory_tier(self) -> BoundedMap[MemoryEntry] | None:
        """Return the memory tier of the manager; ``None`` without one."""
        return self.namespace.engine.tier

    def open_namespace(self) -> Namespace:
        """Return the namespace.

        Raises:
            CacheClosedError: the manager is closed.
        """
        self._shared.check_open()
        return self.namespace

    async def flush(self) -> None:
        """Write the counters to the store."""
        await self._shared.reporter.flush()

    # Requests

    def resolve_ttl(self, ttl: TTL | Default) -> float | None:
        """Return a lifetime in seconds; ``None`` for no end."""
        return self._ttl if ttl is DEFAULT else parse_ttl(ttl)

    def check_ttl(self, ttl: TTL | Default | Callable[[Any], TTL]) -> Lifetime:
        """Return a lifetime in seconds, or the function that computes it from the value."""
        if callable(ttl):
            check_plain_function("ttl", ttl)
            return ttl
        return self.resolve_ttl(ttl)

    def request(
        self,
        key: str,
        factory: Callable[[], Any],
        ttl: TTL | Default | Callable[[Any], TTL],
        tags: Iterable[str],
        options: LoadOptions,
    ) -> LoadRequest:
        """Return the request of a call of ``get_or_set``, with every argument checked."""
        namespace = self.open_namespace()
        if not callable(factory):
            raise TypeError(
                f"factory must be a function; got {type(factory).__name__}: {factory!r:.80}; "
                "set() and add() store a value that is known"
            )
        policy = LoadPolicy.build(self.check_ttl(ttl), None, parse_options(options))
        return LoadRequest(namespace.prefix + check_key(key), factory, policy, check_tags(tags))

    async def make_items(
        self, mapping: Mapping[str, Any], ttl: float | None, tags: Iterable[str]
    ) -> Sequence[Item]:
        """Return the items to store for a mapping from keys to values, all with the same tags."""
        prefix = self.namespace.prefix
        tokens = await self.computer.get_tag_tokens(check_tags(tags), from_store=True)

        def make_part(pairs: Sequence[tuple[str, Any]]) -> list[Item]:
            return [Item(prefix + key, value, ttl, tokens) for key, value in pairs]

        return await apply_in_slices(make_part, list(mapping.items()))

    async def make_store_keys(self, keys: Iterable[str]) -> Sequence[str]:
        """Return the store keys of a batch, without duplicates."""
        prefix = self.namespace.prefix
        return await apply_in_slices(lambda part: [prefix + key for key in part], check_keys(keys))

    def make_lock(self, key: str, *, wait: bool | Duration, owner: object = None) -> KeyLock:
        """Return the lock of a key; see `CacheManager.lock`."""
        namespace = self.open_namespace()
        return KeyLock(namespace, check_key(key), parse_wait("wait", wait) or 0.0, owner)

    # Reads

    def peek(self, key: str, default: Any) -> Any:
        """Return the value of a key, the default, or `PENDING`; then `get` is the next step."""
        if self._shared.is_closed:
            self._shared.check_open()
        namespace = self.namespace
        key = namespace.prefix + check_key(key)
        value = namespace.peek(key)
        if value is MISSING:
            namespace.count_miss(key)
            return default
        return value

    async def get(self, key: str, default: Any) -> Any:
        """Return the value of a key, or the default, after `peek` returned `PENDING`."""
        namespace = self.namespace
        key, began = namespace.prefix + key, namespace.start_timer(events.Miss)
        values = await namespace.get_many([key])
        if key not in values:
            namespace.count_miss(key, began)
            return default
        return values[key]

    def peek_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return for each key its value, `MISSING` or `PENDING`; see `get_many`."""
        namespace = self.open_namespace()
        return {key: namespace.peek(namespace.prefix + key) for key in check_keys(keys)}

    async def peek_many_in_steps(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return what `peek_many` returns; other tasks run meanwhile."""
        namespace, found = self.open_namespace(), dict[str, Any]()
        for count, key in enumerate(check_keys(keys), 1):
            found[key] = namespace.peek(namespace.prefix + key)
            await checkpoint(count)
        return found

    async def get_many(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that exist, after `peek_many` returned `PENDING` for some keys."""
        namespace = self.namespace
        pending = [namespace.prefix + key for key, value in found.items() if value is PENDING]
        loaded = await namespace.get_many(pending) if pending else {}

        def choose(part: Sequence[tuple[str, Any]]) -> Sequence[tuple[str, Any]]:
            known = {
                key: loaded.get(namespace.prefix + key, MISSING) if value is PENDING else value
                for key, value in part
            }
            return list(self.drop_missing(known).items())

        return dict(await apply_in_slices(choose, list(found.items())))

    def drop_missing(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that exist, and count a miss for every other key."""
        for key, value in found.items():
            if value is MISSING:
                self.namespace.count_miss(self.namespace.prefix + key)
        return {key: value for key, value in found.items() if value is not MISSING}

    def peek_entry(self, key: str, policy: LoadPolicy) -> Any:
        """Return the value of a store key, `MISSING` or `PENDING`, under a policy."""
        if policy.refresh_ahead is None:
            return self.namespace.peek(key)
        return self._stale.peek(key, policy)

    async def get_stored(self, request: LoadRequest) -> Outcome | Missing:
        """Return the stored value, if it may be served, or `MISSING`; a refresh may start."""
        if request.policy.serve_stale:
            return await self._stale.get(request)
        return await self.computer.find(request.key)

    # Computations

    async def get_or_compute(self, request: LoadRequest, function: str = "") -> Outcome:
        """Return the value, computed once for all callers of this loop if there is none.

        The blocks of `aiocache_pe.context` and recordings change the way of the call.

        Args:
            request: the value to load.
            function: the name under which the call is observed; empty if the caller does it.
        """
        control = context.current_control()
        if control is not None:
            watched = control if function else control._replace(calls=None)
            if function:
                request = request._replace(key=control.choose_key(request.key))
            with Watch(watched, function) as watch:
                watch.note(self.namespace, request.key)
                outcome = await self.get_or_compute_under(control, request)
                watch.note(self.namespace, request.key, outcome)
                if control.mode is Mode.BYPASS:
                    watch.note_bypass("bypass()")
                return outcome
        value = self.peek_entry(request.key, request.policy)
        if isinstance(value, Sentinel):
            return await self.resolve_miss(request)
        return Outcome(value, "hit")

    async def get_or_compute_under(self, control: Control, request: LoadRequest) -> Outcome:
        """Return the value in the way that the controls of a call demand."""
        cassette = context.current_cassette()
        if cassette is not None:
            return await self._get_or_record(cassette, request)
        mode = control.mode
        if mode is Mode.REFRESH:
            # Not joined: a computation that began earlier may have read an outdated source.
            return await self.computer.compute(request)
        if mode is not Mode.BYPASS:
            request = request._replace(max_age=control.max_age)
            if mode is None and control.max_age is None:
                found = await self.get_stored(request)
            else:
                found = await self.computer.find(request.key, control.max_age)
            if found is not MISSING:
                return found
            if mode is None:
                return await self.computer.get_or_compute(request)
            self.namespace.count_miss(request.key)
        return Outcome(await call_factory(request.factory), "miss")

    async def resolve_miss(
        self, request: LoadRequest, joined: Any = MISSING, began: float | None = None
    ) -> Outcome:
        """Return the value after a peek that found none; see `Computer.get_or_compute`."""
        if request.policy.serve_stale:
            stored = await self._stale.get(request)
            if not isinstance(stored, Sentinel):
                return stored
        return await self.computer.get_or_compute(request, joined, began)

    async def _get_or_record(self, cassette: Cassette, request: LoadRequest) -> Outcome:
        source: Source = "hit"

        async def compute() -> Any:
            nonlocal source
            source = "miss"
            return await call_factory(request.factory)

        key = request.key[len(self.namespace.prefix) :]
        call = request.call or Call(request.key, "get_or_set", "get or set", {"key": key})
        value = await cassette.answer(call, compute)
        return Outcome(value, source, tier="recording" if source == "hit" else None)
