"""Stores that fail, in different ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NoReturn

from aiocache_pe.backends.base import Change, Condition, ReadResult
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.record import Head, Record


class BrokenBackend:
    """A store that raises an error in every method."""

    name = "broken"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def _fail(self, *_: Any) -> NoReturn:
        raise self.error

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        self._fail()

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        self._fail()

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        self._fail()

    async def update(self, key: str, change: Change) -> Record | None:
        self._fail()

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        self._fail()
        yield []

    async def clear(self, prefix: str) -> int:
        self._fail()

    async def close(self) -> None:
        self._fail()


class BrokenEverywhereBackend(BrokenBackend):
    """A store that has every capability and raises an error in each."""

    on_evict = None

    def is_current(self, stamp: Any) -> bool:
        self._fail()

    def peek(self, key: str) -> Record | None:
        self._fail()

    async def totals(self, prefix: str) -> tuple[int, int]:
        self._fail()

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        self._fail()

    async def usage(self, key: str) -> tuple[int, float | None]:
        self._fail()

    async def sweep(self, now: float) -> None:
        self._fail()

    async def secret(self) -> bytes:
        self._fail()


class SecretlessBackend(MemoryBackend):
    """A store that keeps no secret, so that values that need pickle are not stored."""

    secret = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
