"""Decorated generators: the chunks pass while they are recorded, and are replayed later.

The first caller sees each chunk as it comes. A stream that came to its end is stored
whole, empty chunks too; one that was cut short, by an error or by a reader who had
enough, is not.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from typing import Any, Generic, ParamSpec, TypeVar

from aiocache_pe import blocking, events
from aiocache_pe.decorators.decorated import AsyncCachedFunction, CachedFunction, Decorated
from aiocache_pe.decorators.recording import Recording, chunks_of, refuse_sent, stream_terms
from aiocache_pe.decorators.settings import Settings
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.sentinels import MISSING, PENDING
from aiocache_pe.steering import Mode, mode

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class _Taking(Generic[T]):
    """One pass of a stream: how long its chunks took, and what they were."""

    __slots__ = ("_began", "_monotonic", "recording", "seconds")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._began = 0.0
        self.seconds = 0.0
        self.recording = Recording()

    def __enter__(self) -> None:
        """The next chunk is waited for."""
        self._began = self._monotonic()

    def __exit__(self, *error: object) -> None:
        self.seconds += self._monotonic() - self._began


class _Streaming(Decorated[P, R]):
    """What both kinds of streams share."""

    def __init__(self, function: Callable[P, R], settings: Settings) -> None:
        super().__init__(function, settings)
        if not settings.cache_none:
            raise ConfigurationError(
                f"cache_none=False has no meaning for {function!r}: a stream is never None"
            )

    def _bind(self) -> None:
        super()._bind()
        self._terms = stream_terms(self._terms)

    def _begun(self, key: str) -> _Taking[Any]:
        self._misses += 1
        self._loader.space.missed(key)
        return _Taking(self._loader.space.engine.clock.monotonic)

    def _failed(self, key: str, error: BaseException) -> None:
        self._loader.space.emit(events.LoadFailed, key, error)

    def _is_storable(self, key: str, steered: Mode | None, taking: _Taking[Any]) -> bool:
        """Whether what was taken down is to be stored; said of a stream at its end."""
        space, error = self._loader.space, taking.recording.error
        space.emit(events.Loaded, key, taking.seconds)
        if error is not None:
            space.failed("encode", error)
        return error is None and steered is not Mode.READ_ONLY


class AsyncStream(
    _Streaming[P, AsyncGenerator[T, None]], AsyncCachedFunction[P, AsyncGenerator[T, None]]
):
    """An ``async def`` with ``yield``."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        """Call the function, or replay the stream it gave before."""
        return self._stream(mode(), args, kwargs)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        """Call the function and store its stream, whatever is stored."""
        return self._stream(Mode.REFRESH, args, kwargs)

    def _stream(self, steered: Mode | None, args: Args, kwargs: Kwargs) -> AsyncGenerator[T, None]:
        if steered is Mode.BYPASS:
            return self._function(*args, **kwargs)  # type: ignore[no-any-return]
        return self._chunks(steered, self._key(args, kwargs), args, kwargs)

    async def _chunks(
        self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs
    ) -> AsyncGenerator[T, None]:
        if steered is not Mode.REFRESH:
            stored = self._lookup(key)
            if stored is PENDING:
                stored = await self._loader.space.load(key)
            chunks = chunks_of(stored)
            if chunks is not None:
                self._hits += 1
                for chunk in chunks:
                    refuse_sent((yield chunk))
                return
        tokens = await self._loader.computing.tokens(self._tags_of(args, kwargs))
        taking = self._begun(key)
        async with aclosing(self._function(*args, **kwargs)) as source:
            while True:
                try:
                    with taking:
                        chunk = await anext(source)
                except StopAsyncIteration:
                    break
                except BaseException as error:
                    self._failed(key, error)
                    raise
                taking.recording.add(chunk)
                refuse_sent((yield chunk))
        if self._is_storable(key, steered, taking):
            value = taking.recording.value()
            await self._loader.computing.keep(key, value, self._terms, tokens, taking.seconds)


class Stream(_Streaming[P, Generator[T, None, R]], CachedFunction[P, Generator[T, None, R]]):
    """A ``def`` with ``yield``; what it returns at its end is stored with the chunks."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, R]:
        """Call the function, or replay the stream it gave before."""
        return self._stream(mode(), args, kwargs)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, R]:
        """Call the function and store its stream, whatever is stored."""
        return self._stream(Mode.REFRESH, args, kwargs)

    def _stream(self, steered: Mode | None, args: Args, kwargs: Kwargs) -> Generator[T, None, R]:
        if steered is Mode.BYPASS:
            return self._function(*args, **kwargs)  # type: ignore[no-any-return]
        return self._chunks(steered, self._key(args, kwargs), args, kwargs)

    def _chunks(
        self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs
    ) -> Generator[T, None, Any]:
        if steered is not Mode.REFRESH:
            stored = self._lookup(key)
            if stored is PENDING:
                stored = blocking.ask(self._loader.space.load, key, otherwise=MISSING)
            chunks = chunks_of(stored)
            if chunks is not None:
                self._hits += 1
                for chunk in chunks:
                    refuse_sent((yield chunk))
                return stored.get("returned")
        tags = self._tags_of(args, kwargs)
        tokens = blocking.ask(self._loader.computing.tokens, tags, otherwise=dict[str, str]())
        taking = self._begun(key)
        returned: Any = None
        with closing(self._function(*args, **kwargs)) as source:
            while True:
                try:
                    with taking:
                        chunk = next(source)
                except StopIteration as end:
                    returned = end.value
                    break
                except BaseException as error:
                    self._failed(key, error)
                    raise
                taking.recording.add(chunk)
                refuse_sent((yield chunk))
        if self._is_storable(key, steered, taking):
            value = taking.recording.value(returned)
            keep = self._loader.computing.keep
            blocking.ask(keep, key, value, self._terms, tokens, taking.seconds, otherwise=None)
        return returned
