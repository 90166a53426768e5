"""Base class of decorated generators, async and plain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from aiocache_pe import context, events
from aiocache_pe.context import NO_CONTROL, Cassette, Control, Mode
from aiocache_pe.decorators.base import DecoratedFunction
from aiocache_pe.decorators.settings import Settings
from aiocache_pe.decorators.streams.chunk_buffer import make_stream_policy, read_chunks
from aiocache_pe.engine.computation import Computation
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.signatures import Args, Kwargs
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.lease_wait import HeldLease
from aiocache_pe.loading.options import LoadPolicy
from aiocache_pe.loading.watch import Watch
from aiocache_pe.sentinels import MISSING, Missing

P = ParamSpec("P")
R = TypeVar("R")


class Stopwatch:
    """The time that a source needs for its chunks, without the time between them.

    Attributes:
        seconds: the sum so far.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._began = self._monotonic()

    def __exit__(self, *error: object) -> None:
        self.seconds += self._monotonic() - self._began


class StreamBase(DecoratedFunction[P, R]):
    """A decorated generator."""

    def __init__(self, function: Callable[P, R], settings: Settings) -> None:
        super().__init__(function, settings)
        if not settings.cache_none:
            raise ConfigurationError(
                f"cache_none=False has no meaning for {function!r}: a stream is never None"
            )
        if settings.options.error_ttl is not None:
            raise ConfigurationError(
                f"error_ttl= has no meaning for {function!r}: a stream may fail after its first "
                "chunks; remember errors of the function that opens it"
            )
        if settings.options.hard_timeout is not None:
            raise ConfigurationError(
                f"hard_timeout= has no meaning for {function!r}: a stream passes its chunks on "
                "while it lasts; limit the time where you read it"
            )

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Replay the stored stream of a call, or call the function."""
        return self._open(context.current_control() or NO_CONTROL, args, kwargs)

    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function and store its stream, even if a stream is stored."""
        return self._open(context.replace_mode(Mode.REFRESH), args, kwargs)

    def _open(self, control: Control, args: Args, kwargs: Kwargs) -> R:
        watch = self._watch(control)
        if control.mode is Mode.BYPASS:
            with watch:
                watch.note_bypass("bypass()")
                return self._function(*args, **kwargs)  # type: ignore[no-any-return]
        cassette = context.current_cassette()
        if cassette is not None:
            return self._replay_or_record(cassette, watch, args, kwargs)
        key = control.choose_key(self._key(args, kwargs))
        return self._replay_or_run(watch, key, args, kwargs)

    def _replay_or_record(self, cassette: Cassette, watch: Watch, args: Args, kwargs: Kwargs) -> R:
        raise NotImplementedError

    def _replay_or_run(self, watch: Watch, key: str, args: Args, kwargs: Kwargs) -> R:
        raise NotImplementedError

    def _adapt_policy(self, policy: LoadPolicy) -> LoadPolicy:
        return make_stream_policy(policy)

    def _start(self, key: str) -> Stopwatch:
        """Count a miss, before the function is called."""
        self._misses += 1
        self._loader.namespace.count_miss(key)
        return Stopwatch(self._loader.namespace.monotonic)

    async def _find(
        self, key: str, control: Control, computation: Computation | None = None
    ) -> Outcome | Missing:
        """Return a stored stream that may be replayed, or `MISSING`; see `Computer.find`."""
        found = await self._loader.computer.find(key, control.max_age, computation)
        return MISSING if found is MISSING or read_chunks(found.value) is None else found

    async def _get_or_acquire(
        self, computation: Computation, control: Control
    ) -> tuple[Any, HeldLease | None]:
        """Return the stream that another process has stored, or `MISSING` and the lease."""

        async def get() -> Outcome | Missing:
            return await self._find(computation.key, control, computation)

        return await self._loader.lease_waiter.get_or_acquire(computation, get, self._policy.lock)

    def _finish(self, key: str, seconds: float) -> None:
        """Report that the function came to its end."""
        self._loader.namespace.emit(events.Loaded, key, seconds)

    def _note_computed(self, watch: Watch, computation: Computation) -> None:
        """Note the end of a stream that the function has computed."""
        outcome = Outcome(None, "miss", reason=computation.reason)
        watch.note(self._loader.namespace, computation.key, outcome)

    def _is_storable(
        self, control: Control, computation: Computation, error: Exception | None
    ) -> bool:
        """Return whether to store a stream that came to its end; report the error of its chunks."""
        if error is not None:
            computation.reason = str(error)
            self._loader.namespace.count_failure("encode", error)
        return error is None and control.mode is not Mode.READ_ONLY
