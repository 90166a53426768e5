"""What decorated functions of batches share: which entries a call has, and what they make."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar, get_origin

from aiocache_pe import context
from aiocache_pe.context import Cassette, Mode
from aiocache_pe.decorators.base import DecoratedFunction
from aiocache_pe.decorators.batch.arguments import BatchCall, BatchParameter
from aiocache_pe.decorators.batch.results import decode_item, join_results, split_results
from aiocache_pe.decorators.settings import Settings
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.signatures import get_return_annotation
from aiocache_pe.loading.batch_loader import BatchRequest, compute_uncached
from aiocache_pe.loading.options import LoadPolicy
from aiocache_pe.sentinels import MISSING

P = ParamSpec("P")
R = TypeVar("R", covariant=True)  # noqa: PLC0105 - as it is called everywhere else
Args = tuple[Any, ...]
Kwargs = dict[str, Any]
Compute = Callable[[Sequence[str]], Coroutine[Any, Any, Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class BatchParts:
    """How a batch is found and cut up.

    Attributes:
        batch: the parameter's name; ``None`` for the first one.
        size: how many items a call takes at most; ``None`` for any number.
        concurrency: how many calls at a time.

    Raises:
        TypeError: one has the wrong type.
        ConfigurationError: a number is too small.
    """

    batch: str | None = None
    size: int | None = None
    concurrency: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.batch, str | None):
            raise TypeError(f"batch is the name of a parameter, not {self.batch!r:.80}")
        for name, value in (("batch_size", self.size), ("concurrency", self.concurrency)):
            if value is None and name == "batch_size":
                continue
            if type(value) is not int:
                raise TypeError(f"{name} is an int, not {type(value).__name__}: {value!r:.80}")
            if value < 1:
                raise ConfigurationError(f"{name}={value}: accepted is an int from 1 on")


class BatchPlan:
    """What one call comes down to.

    Args:
        call: the call.
        keys: what each item's entry is called.

    Attributes:
        keys: the same.
        computed: for how many items the function was called so far.
    """

    __slots__ = ("_call", "_places", "computed", "keys")

    def __init__(self, call: BatchCall, keys: list[str]) -> None:
        self._call = call
        self._places: dict[str, int] = {}
        for place, key in enumerate(keys):
            self._places.setdefault(key, place)
        self.keys = keys
        self.computed = 0

    @property
    def different(self) -> list[str]:
        """The keys, each once."""
        return list(self._places)

    def arguments(self, keys: Sequence[str]) -> tuple[Args, Kwargs]:
        """The arguments to call the function for some of the items."""
        return self._call.some([self._places[key] for key in keys])

    def of_one(self, key: str) -> tuple[Args, Kwargs]:
        """The arguments with one of the items in the batch's place."""
        return self._call.with_batch(self._call.items[self._places[key]])


class BatchBase(DecoratedFunction[P, R]):
    """A decorated function of batches.

    Args:
        function: the function.
        settings: what the decorator was told.
        parts: how its batches are cut up.

    Raises:
        ConfigurationError: a setting does not fit the function.
    """

    def __init__(self, function: Callable[P, R], settings: Settings, parts: BatchParts) -> None:
        super().__init__(function, settings)
        self._parameter = BatchParameter(function, parts.batch)
        self._parts = parts
        if self._parameter.name in settings.ignore:
            raise ConfigurationError(
                f"ignore= names {self._parameter.name!r}, whose items tell the entries apart"
            )

    def cache_keys(self, *args: P.args, **kwargs: P.kwargs) -> list[str]:
        """The key of each item, as ``cache.get`` takes it."""
        return [self._plain_key(*each) for each in self._parameter.call(args, kwargs).each()]

    def list_keys(self, args: Args, kwargs: Kwargs) -> list[str]:
        """Return the key of each item, without the namespace."""
        return self.cache_keys(*args, **kwargs)

    def _adapted(self, policy: LoadPolicy) -> LoadPolicy:
        # What the users' functions are told is the result, not what is stored of it.
        ttl, cache_if = policy.ttl, policy.cache_if
        if callable(ttl):
            policy = policy._replace(ttl=lambda entry: ttl(decode_item(entry)))
        if cache_if is not None:
            policy = policy._replace(cache_if=lambda entry: cache_if(decode_item(entry)))
        return policy

    def _shortcut(self, call: BatchCall, steered: Mode | None) -> Callable[[], Any] | None:
        """What gives the result of a call that has no need of entries; ``None`` for others."""
        count, size = len(call.items), self._parts.size
        if count == 0:
            annotation = get_return_annotation(self._function)
            kind = get_origin(annotation) or annotation
            if kind is None or (isinstance(kind, type) and issubclass(list, kind)):
                return list
            if kind is tuple:
                return tuple
            # Of an array without rows, the function alone knows the columns.
        elif steered is not Mode.BYPASS or (size is not None and count > size):
            return None
        args, kwargs = call.with_batch(call.items)
        return partial(self._function, *args, **kwargs)

    def _keyed(self, call: BatchCall, steered: Mode | None) -> Iterable[str]:
        """What each item's entry is called; those that are not to be in the store, by number."""
        if steered is Mode.BYPASS:
            return map(str, range(len(call.items)))
        return (self._key(*each) for each in call.each())

    def _loading(
        self, plan: BatchPlan, compute: Compute, steered: Mode | None, known: Mapping[str, Any]
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Begin to load or compute an entry for each key."""
        self._bound_cache()
        wanted = BatchRequest(
            plan.different,
            compute,
            self._policy,
            lambda key: self._make_tags(*plan.of_one(key)),
            self._parts.size,
            self._parts.concurrency,
        )
        tape = context.current_cassette()
        if tape is not None:
            return self._recorded(tape, plan, wanted)
        if steered is Mode.BYPASS:
            return compute_uncached(wanted)
        return self._loader.batch_loader.get_or_compute(wanted, steered, known)

    async def _recorded(
        self, tape: Cassette, plan: BatchPlan, wanted: BatchRequest
    ) -> dict[str, Any]:
        """An entry for each key, from a recording or recorded."""
        calls = {key: self._make_call(*plan.of_one(key)) for key in wanted.keys}
        entries = {key: tape.find(call) for key, call in calls.items()}
        missing = [key for key, entry in entries.items() if entry is MISSING]
        if missing:
            computed = await compute_uncached(wanted._replace(keys=missing))
            for key, entry in computed.items():
                await tape.store(calls[key], entry)
                kept = tape.find(calls[key])  # of two answers the older one counts
                entries[key] = entry if kept is MISSING else kept
        return entries

    def _called_for(
        self, plan: BatchPlan, keys: Sequence[str], steered: Mode | None
    ) -> tuple[Args, Kwargs]:
        """Count a call of the function, and say with which arguments it is to be called."""
        if steered is not Mode.BYPASS:
            self._misses += len(keys)
        plan.computed += len(keys)
        return plan.arguments(keys)

    def _apart(self, result: Any, keys: Sequence[str]) -> list[Any]:
        return split_results(result, len(keys), self.__qualname__)

    def _together(self, plan: BatchPlan, entries: Mapping[str, Any], steered: Mode | None) -> Any:
        """The call's result.

        Raises:
            MisfitError: what is stored is not what the function returns now.
        """
        if steered is not Mode.BYPASS:
            self._hits += len(plan.keys) - plan.computed
        is_strict = steered is None or steered is Mode.READ_ONLY
        return join_results([entries[key] for key in plan.keys], strict=is_strict)

    @staticmethod
    def _instead(steered: Mode | None) -> Mode:
        """How to call it where what is stored does not fit."""
        return Mode.BYPASS if steered is Mode.READ_ONLY else Mode.REFRESH
