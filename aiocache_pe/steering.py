"""Steering cached calls from outside: past the cache, through it, or only reading from it.

What is set holds for the calls made inside the ``with`` block, also by the tasks that are
begun there, and for nobody else: it is a context variable.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from enum import Enum
from typing import Self

_mode: ContextVar[Mode | None] = ContextVar("aiocache_pe_mode", default=None)
mode = _mode.get
"""The mode of the running task; ``None`` when nothing was set."""


class Mode(Enum):
    """What cached calls do, if not the usual."""

    BYPASS = "bypass"
    REFRESH = "refresh"
    READ_ONLY = "read only"


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
