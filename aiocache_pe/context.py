"""Modes of cached calls, set for a block: bypass, refresh, read-only, or recorded by a cassette.

A mode holds for calls inside the ``with`` block and in tasks started there, because it is a
context variable. A cassette also holds for the whole process, so that no call of a test gets
past it: neither a call in another thread, nor one of a server that was started earlier, nor
one inside another mode's block.
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
    """A call to record: its identity, and its description for readers of the recording.

    Attributes:
        key: the store key.
        name: the qualified name of the called function, or its counterpart.
        title: a name of one or two words.
        arguments: the arguments by name.
        text: the question for readers; ``None`` for the first text among the arguments.
        is_recordable: returns whether an answer is to be recorded; ``None`` for every answer.
        is_same: returns whether an older and a newer answer are equivalent; ``None`` if they
            must be equal.
    """

    key: str
    name: str
    title: str
    arguments: Mapping[str, Any]
    text: str | None = None
    is_recordable: Callable[[Any], bool] | None = None
    is_same: Callable[[Any, Any], bool] | None = None


class Cassette(Protocol):
    """A recording that answers calls in place of a cache."""

    def find(self, call: Call) -> Any:
        """Return a copy of a call's recorded answer; `MISSING` if the call is to be made.

        Raises:
            UnrecordedCallError: there is no recorded answer, and no call is to be made.
        """

    async def store(self, call: Call, value: Any) -> None:
        """Record the answer of a call.

        Raises:
            SerializationError: the value cannot be recorded readably and exactly, or it
                contains a secret.
            BackendError: the directory cannot be written.
        """

    async def answer(self, call: Call, compute: Callable[[], Awaitable[Any]]) -> Any:
        """Return a call's recorded answer, or compute and record it."""


class _CassetteScope(NamedTuple):
    """The cassette of one block; without one, calls go to the cache."""

    cassette: Cassette | None


class Mode(Enum):
    """The behaviour of cached calls that differs from the default."""

    BYPASS = "bypass"
    REFRESH = "refresh"
    READ_ONLY = "read only"
    RECORDED = "recorded"


_mode: ContextVar[Mode | None] = ContextVar("aiocache_pe_mode", default=None)
_own_scope: ContextVar[_CassetteScope | None] = ContextVar("aiocache_pe_tape", default=None)
_open_scopes: list[_CassetteScope] = []  # of all blocks in the process, the innermost last
_lock = threading.RLock()
hold_during_fork(_lock)

current_mode: Callable[[], Mode | None] = _mode.get
"""Return the mode of the running task; ``None`` for the default.

Call it as ``context.current_mode()``. `use_cassette` replaces the function while a cassette
is in use, so that a program without one pays nothing for cassettes.
"""


def current_cassette() -> Cassette | None:
    """Return the cassette of this task, else that of the process; ``None`` if there is none."""
    own, scopes = _own_scope.get(), _open_scopes.copy()  # other threads may leave their blocks
    for scope in scopes:
        if scope is own:  # the scope of a task that outlived its block is not open
            return scope.cassette
    return scopes[-1].cassette if scopes else None


class use_cassette:  # noqa: N801 - used as a statement, like `bypass`
    """Context manager that has a cassette answer the calls within the block.

    Args:
        cassette: the cassette; ``None`` lets calls go to the cache.
    """

    __slots__ = ("_scope", "_token")

    def __init__(self, cassette: Cassette | None) -> None:
        self._scope = _CassetteScope(cassette)
        self._token: Token[_CassetteScope | None] | None = None

    def __enter__(self) -> Self:
        global current_mode  # noqa: PLW0603 - programs without a cassette pay nothing for it
        with _lock:
            _open_scopes.append(self._scope)
            current_mode = _get_mode_with_cassettes
        self._token = _own_scope.set(self._scope)
        return self

    def __exit__(self, *error: object) -> None:
        global current_mode  # noqa: PLW0603 - programs without a cassette pay nothing for it
        if self._token is not None:
            with suppress(ValueError):  # the end of a test may run in another context
                _own_scope.reset(self._token)
        with _lock:
            _open_scopes[:] = [scope for scope in _open_scopes if scope is not self._scope]
            if not _open_scopes:
                current_mode = _mode.get


def _get_mode_with_cassettes() -> Mode | None:
    return _mode.get() if current_cassette() is None else Mode.RECORDED


class _ModeBlock:
    """Context manager that sets a mode."""

    __slots__ = ("_mode", "_token")

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._token: Token[Mode | None] | None = None

    def __enter__(self) -> Self:
        if self._token is not None:
            raise RuntimeError(
                f"a {self._mode.value} block must not be entered inside itself; "
                "create another context manager"
            )
        self._token = _mode.set(self._mode)
        return self

    def __exit__(self, *error: object) -> None:
        if self._token is not None:
            _mode.reset(self._token)
            self._token = None


def bypass() -> _ModeBlock:
    """Make cached calls plain calls within a block: they read and store no entries.

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
    return _ModeBlock(Mode.BYPASS)


def refresh() -> _ModeBlock:
    """Have cached calls compute and store new values within a block.

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
    return _ModeBlock(Mode.REFRESH)


def read_only() -> _ModeBlock:
    """Have cached calls read stored values, and store none, within a block.

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
    return _ModeBlock(Mode.READ_ONLY)
