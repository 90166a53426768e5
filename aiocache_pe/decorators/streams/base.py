"""What decorated generators of both kinds share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from aiocache_pe import events
from aiocache_pe.context import Mode
from aiocache_pe.decorators.base import DecoratedFunction
from aiocache_pe.decorators.settings import Settings
from aiocache_pe.decorators.streams.chunk_buffer import make_stream_policy, read_chunks
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.loading.lease_wait import HeldLease
from aiocache_pe.loading.options import LoadPolicy
from aiocache_pe.sentinels import MISSING

P = ParamSpec("P")
R = TypeVar("R")
Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Stopwatch:
    """How long the chunks of a stream took, without the time between them."""

    __slots__ = ("_began", "_monotonic", "seconds")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._began = 0.0
        self.seconds = 0.0

    def __enter__(self) -> None:
        """The next chunk is waited for."""
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
        if settings.options.hard_timeout is not None:
            raise ConfigurationError(
                f"hard_timeout= has no meaning for {function!r}: a stream passes its chunks on "
                "while it lasts; limit the time where you read it"
            )

    def _adapted(self, policy: LoadPolicy) -> LoadPolicy:
        return make_stream_policy(policy)

    def _begun(self, key: str) -> Stopwatch:
        """The function is called, for somebody who reads."""
        self._misses += 1
        self._loader.namespace.count_miss(key)
        return Stopwatch(self._loader.namespace.monotonic)

    def _joined(self, key: str) -> None:
        """Somebody reads what another's call gives."""
        self._hits += 1
        self._loader.namespace.count_hit(key)

    async def _look_or_take(self, key: str) -> tuple[Any, HeldLease | None]:
        """What another process has stored by now; or `MISSING`, and the turn to call."""

        async def get() -> Any:
            value = await self._loader.namespace.get(key)
            return MISSING if read_chunks(value) is None else value

        return await self._loader.lease_waiter.get_or_acquire(key, get, self._policy.lock)

    def _ended(self, key: str, seconds: float) -> None:
        """The function came to its end."""
        self._loader.namespace.emit(events.Loaded, key, seconds)

    def _is_storable(
        self, steered: Mode | None, turn: HeldLease | None, error: Exception | None
    ) -> bool:
        """Whether what was taken down is to be stored; said of a stream at its end."""
        if error is not None:
            self._loader.namespace.count_failure("encode", error)
        is_lost = turn is not None and turn.is_lost
        return error is None and steered is not Mode.READ_ONLY and not is_lost
