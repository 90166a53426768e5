"""Steering cached calls from outside: past the cache, through it, or only reading from it.

What is set holds for the calls made inside the ``with`` block, also by the tasks that are
begun there, and for nobody else: it is a context variable. Only a recording holds for the
whole process as well, for no call of a test is to get past it: not those of a thread, nor
of a server that was there before, nor inside another block.

What is asked of a recording, and what it is told of a call.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol, Self

from aiocache_pe.runtime.fork import hold_during_fork


@dataclass(frozen=True, slots=True)
class Call:
    """A call, as it is recorded: what tells it from others, and what people see of it.

    Attributes:
        key: its store key.
        name: what is called.
        title: what is called, in a word or two.
        arguments: by their names.
        text: what it is asked, for people; ``None`` for the first text of its arguments.
        is_worth: whether an answer is to be recorded; ``None`` for every answer.
        is_same: whether a newer answer says the same as an older one, given the older and
            the newer; ``None`` if they must be equal.
    """

    key: str
    name: str
    title: str
    arguments: Mapping[str, Any]
    text: str | None = None
    is_worth: Callable[[Any], bool] | None = None
    is_same: Callable[[Any, Any], bool] | None = None


class Cassette(Protocol):
    """A recording, to which calls go instead of to a cache."""

    def find(self, call: Call) -> Any:
        """What was recorded of a call, a value of the caller's own; `MISSING`: call and keep.

        Raises:
            UnrecordedCallError: nothing was, and no call is to be made.
        """
        ...

    async def store(self, call: Call, value: Any) -> None:
        """Record what a call returned.

        Raises:
            SerializationError: it cannot be recorded so that it can be read and comes back
                the same, or it holds a secret.
            BackendError: the directory cannot be written.
        """
        ...

    async def answer(self, call: Call, compute: Callable[[], Awaitable[Any]]) -> Any:
        """What was recorded of a call, or what it returns now, recorded."""
        ...


class _CassetteScope(NamedTuple):
    """Where calls go: to a tape, or where they would go without any."""

    tape: Cassette | None


_mode: ContextVar[Mode | None] = ContextVar("aiocache_pe_mode", default=None)
_own: ContextVar[_CassetteScope | None] = ContextVar("aiocache_pe_tape", default=None)
_places: list[_CassetteScope] = []  # those of the process's blocks, the innermost last
_lock = threading.RLock()
hold_during_fork(_lock)

mode: Callable[[], Mode | None] = _mode.get
"""The mode of the running task; ``None`` when nothing was set.

To be called as ``context.mode()``: it is another function while something is recorded, so
that nobody pays for recordings but who records.
"""


class Mode(Enum):
    """What cached calls do, if not the usual."""

    BYPASS = "bypass"
    REFRESH = "refresh"
    READ_ONLY = "read only"
    RECORDED = "recorded"


def current_cassette() -> Cassette | None:
    """The recording that calls go to: this task's, else the process's; ``None`` for none."""
    own, places = _own.get(), _places.copy()  # another thread may leave its block meanwhile
    for place in places:
        if place is own:  # not in a task that outlived its block
            return place.tape
    return places[-1].tape if places else None


class use_cassette:  # noqa: N801 - used as a statement, like `bypass`
    """Sends the calls within the block to a recording.

    Args:
        wanted: the recording; ``None`` sends them where they would go without any.
    """

    __slots__ = ("_place", "_token")

    def __init__(self, wanted: Cassette | None) -> None:
        self._place = _CassetteScope(wanted)
        self._token: Token[_CassetteScope | None] | None = None

    def __enter__(self) -> Self:
        global mode  # noqa: PLW0603 - so that nobody has to ask for recordings but who records
        with _lock:
            _places.append(self._place)
            mode = _recorded_or_mode
        self._token = _own.set(self._place)
        return self

    def __exit__(self, *error: object) -> None:
        global mode  # noqa: PLW0603 - the same
        if self._token is not None:
            with suppress(ValueError):  # a test's end may run in another context
                _own.reset(self._token)
        with _lock:
            _places[:] = [place for place in _places if place is not self._place]
            if not _places:
                mode = _mode.get


def _recorded_or_mode() -> Mode | None:
    return _mode.get() if current_cassette() is None else Mode.RECORDED


class _Steered:
    """Sets a mode for a ``with`` block."""

    __slots__ = ("_token", "_wanted")

    def __init__(self, wanted: Mode) -> None:
        self._wanted = wanted
        self._token: Token[Mode | None] | None = None

    def __enter__(self) -> Self:
        if self._token is not None:
            raise RuntimeError(f"this {self._wanted.value} block is entered already")
        self._token = _mode.set(self._wanted)
        return self

    def __exit__(self, *error: object) -> None:
        if self._token is not None:
            _mode.reset(self._token)
            self._token = None


def bypass() -> _Steered:
    """Within the block, cached calls are plain calls: nothing is read, nothing stored.

    Returns:
        A context manager.

    Example:
        >>> from aiocache_pe import bypass
        >>> async def main():
        ...     with bypass():
        ...         return await cache.get_or_set("n", lambda: 2)
        >>> run(main()), run(cache.exists("n"))
        (2, False)
    """
    return _Steered(Mode.BYPASS)


def refresh() -> _Steered:
    """Within the block, cached calls compute anew and store what they computed.

    Returns:
        A context manager.

    Example:
        >>> from aiocache_pe import refresh
        >>> async def main():
        ...     await cache.set("n", 1)
        ...     with refresh():
        ...         await cache.get_or_set("n", lambda: 2)
        ...     return await cache.get("n")
        >>> run(main())
        2
    """
    return _Steered(Mode.REFRESH)


def read_only() -> _Steered:
    """Within the block, cached calls use what is stored, and store nothing themselves.

    Returns:
        A context manager.

    Example:
        >>> from aiocache_pe import read_only
        >>> async def main():
        ...     with read_only():
        ...         return await cache.get_or_set("n", lambda: 2)
        >>> run(main()), run(cache.exists("n"))
        (2, False)
    """
    return _Steered(Mode.READ_ONLY)
