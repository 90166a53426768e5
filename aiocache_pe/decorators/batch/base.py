"""Base class of decorated batch functions: the entries of a call and its result."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar, get_origin

from aiocache_pe import context
from aiocache_pe.context import Cassette, Control, Mode
from aiocache_pe.decorators.base import DecoratedFunction
from aiocache_pe.decorators.batch.arguments import BatchCall, BatchParameter
from aiocache_pe.decorators.batch.results import decode_item, join_results
from aiocache_pe.decorators.settings import Settings
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.signatures import Args, Kwargs, get_return_annotation
from aiocache_pe.keys.store_keys import describe
from aiocache_pe.loading.batch_loader import BatchRequest, compute_uncached
from aiocache_pe.loading.options import LoadPolicy
from aiocache_pe.loading.watch import Watch, make_recorded
from aiocache_pe.sentinels import MISSING

P = ParamSpec("P")
R = TypeVar("R", covariant=True)  # noqa: PLC0105 - the usual name of a result type
Compute = Callable[[Sequence[str]], Coroutine[Any, Any, Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class BatchParts:
    """The parameter of a batch function, and the greatest size and number of concurrent calls."""

    batch: str | None = None
    size: int | None = None
    concurrency: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.batch, str | None):
            raise TypeError(f"batch must be the name of a parameter; got {self.batch!r:.80}")
        size = 1 if self.size is None else self.size
        for name, value in (("batch_size", size), ("concurrency", self.concurrency)):
            if type(value) is not int:
                raise TypeError(f"{name} must be an int; got {describe(value)}")
            if value < 1:
                raise ConfigurationError(f"{name} must be an int of 1 or more; got {value}")


class BatchPlan:
    """The entries of one call.

    Attributes:
        computed: the number of items for which the function was called so far.
    """

    def __init__(self, call: BatchCall, keys: list[str]) -> None:
        self._call = call
        self._positions: dict[str, int] = {}
        for position, key in enumerate(keys):
            self._positions.setdefault(key, position)
        self.keys = keys
        self.unique_keys = list(self._positions)
        self.computed = 0

    def make_arguments(self, keys: Sequence[str]) -> tuple[Args, Kwargs]:
        """Return the arguments to call the function for some of the items."""
        return self._call.select([self._positions[key] for key in keys])

    def make_single_arguments(self, key: str) -> tuple[Args, Kwargs]:
        """Return the arguments with one item in the place of the batch."""
        return self._call.with_batch(self._call.items[self._positions[key]])


class BatchBase(DecoratedFunction[P, R]):
    """A decorated batch function."""

    def __init__(self, function: Callable[P, R], settings: Settings, parts: BatchParts) -> None:
        super().__init__(function, settings)
        self._parameter = BatchParameter(function, parts.batch)
        self._parts = parts
        if self._parameter.name in settings.ignore:
            name = self._parameter.name
            raise ConfigurationError(f"ignore= names {name!r}, but its items form the keys")

    def cache_keys(self, /, *args: P.args, **kwargs: P.kwargs) -> list[str]:
        """Return the key of each item, as ``cache.get`` takes it."""
        call = self._parameter.parse_call(args, kwargs)
        return [self._plain_key(*each) for each in call.iter_single()]

    def _list_keys(self, args: Args, kwargs: Kwargs) -> list[str]:
        return self.cache_keys(*args, **kwargs)

    def _adapt_policy(self, policy: LoadPolicy) -> LoadPolicy:
        # The users' functions get the result, not its stored form.
        ttl, cache_if = policy.ttl, policy.cache_if
        if callable(ttl):
            policy = policy._replace(ttl=lambda entry: ttl(decode_item(entry)))
        if cache_if is not None:
            policy = policy._replace(cache_if=lambda entry: cache_if(decode_item(entry)))
        return policy

    def _find_shortcut(self, call: BatchCall, control: Control) -> Callable[[], Any] | None:
        """Return a function that answers a call without entries; ``None`` for other calls."""
        count, size = len(call.items), self._parts.size
        if count == 0:
            annotation = get_return_annotation(self._function)
            kind = get_origin(annotation) or annotation
            if kind is None or (isinstance(kind, type) and issubclass(list, kind)):
                return list
            if kind is tuple:
                return tuple
            # Only the function knows the columns of an array without rows.
        elif control.mode is not Mode.BYPASS or (size is not None and count > size):
            return None
        args, kwargs = call.with_batch(call.items)
        return partial(self._function, *args, **kwargs)

    def _watch_shortcut(self, control: Control) -> Watch:
        watch = self._watch(control)
        if control.mode is Mode.BYPASS:
            watch.note_bypass("bypass()")
        return watch

    def _iter_keys(self, call: BatchCall, control: Control) -> Iterable[str]:
        """Yield the key of each item; a number for items that are not stored."""
        if control.mode is Mode.BYPASS:
            return map(str, range(len(call.items)))
        return (control.choose_key(self._key(*each)) for each in call.iter_single())

    def _load(
        self, plan: BatchPlan, compute: Compute, watch: Watch, known: Mapping[str, Any]
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Return a coroutine that gets or computes an entry for each key."""
        self._bound_cache()
        control = watch.control
        parts, policy = self._parts, self._policy

        def make_tags(key: str) -> tuple[str, ...]:
            return self._make_tags(*plan.make_single_arguments(key))

        keys = plan.unique_keys
        request = BatchRequest(
            *(keys, compute, policy, make_tags, parts.size, parts.concurrency),
            max_age=control.max_age,
            outcomes=None if control.calls is None else {},
        )
        cassette = context.current_cassette()
        if cassette is not None:
            return self._replay_or_record(cassette, plan, request, watch)
        if control.mode is Mode.BYPASS:
            watch.note_bypass("bypass()")
            return compute_uncached(request)
        return self._load_watched(watch, request, known)

    async def _load_watched(
        self, watch: Watch, request: BatchRequest, known: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return an entry for each key, and note the outcome of each."""
        mode, namespace = watch.control.mode, self._loader.namespace
        if request.outcomes is not None:
            for key in request.keys:
                watch.note(namespace, key)
        entries = await self._loader.batch_loader.get_or_compute(request, mode, known)
        for key, outcome in (request.outcomes or {}).items():
            watch.note(namespace, key, outcome)
        return entries

    async def _replay_or_record(
        self, cassette: Cassette, plan: BatchPlan, request: BatchRequest, watch: Watch
    ) -> dict[str, Any]:
        """Return an entry for each key, replayed or recorded now."""
        calls = {key: self._make_call(*plan.make_single_arguments(key)) for key in request.keys}
        entries = {key: cassette.find(call) for key, call in calls.items()}
        missing = [key for key, entry in entries.items() if entry is MISSING]
        for key, entry in entries.items():
            watch.note(self._loader.namespace, key, make_recorded(entry))
        if missing:
            computed = await compute_uncached(request._replace(keys=missing))
            for key, entry in computed.items():
                await cassette.store(calls[key], entry)
                recorded = cassette.find(calls[key])  # an older recording wins
                entries[key] = entry if recorded is MISSING else recorded
        return entries

    def _prepare_call(
        self, plan: BatchPlan, keys: Sequence[str], control: Control
    ) -> tuple[Args, Kwargs]:
        """Count a call of the function, and return its arguments."""
        if control.mode is not Mode.BYPASS:
            self._misses += len(keys)
        plan.computed += len(keys)
        return plan.make_arguments(keys)

    def _join_entries(self, plan: BatchPlan, entries: Mapping[str, Any], control: Control) -> Any:
        """Return the result; raise `BatchResultError` if the entries have different forms."""
        if control.mode is not Mode.BYPASS:
            self._hits += len(plan.keys) - plan.computed
        is_strict = control.mode in (None, Mode.READ_ONLY)
        return join_results([entries[key] for key in plan.keys], strict=is_strict)

    @staticmethod
    def _choose_retry(control: Control) -> Control:
        """Return the controls of the second try, when the stored entries have different forms."""
        is_read_only = control.mode is Mode.READ_ONLY
        return control._replace(mode=Mode.BYPASS if is_read_only else Mode.REFRESH)
