"""What the contract's tests share: records to store, and a new store for each test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from aiocache_pe.backends.base import Backend
from aiocache_pe.record import Head, Record

T = TypeVar("T")

AREA = "contract:"
NAMES: Sequence[str] = (
    "",
    "plain",
    "Plain",
    "with space",
    "a:b",
    "a/../../b",
    "..",
    ".hidden",
    "-flag",
    "nul\0byte",
    "line\nbreak",
    "*?[x]",
    "100%",
    "con",
    "NUL.txt",
    "\N{PILE OF POO}",
    "e\N{COMBINING ACUTE ACCENT}",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "lone \ud800 surrogate",
    "x" * 300,
    "x" * 301,
    "k" * 10_240,
)
"""Keys that stores trip over."""


def record(name: str, payload: bytes = b"1", **head: Any) -> Record:
    """A record for tests, of the key ``contract:name``."""
    return Record(
        Head(1, AREA + name, "json", head.pop("created_at", 1000.0), len(payload), **head), payload
    )


def content(result: object) -> tuple[Head, bytes] | None:
    """What two records must share to be the same, their stamps aside."""
    return (result.head, result.payload) if isinstance(result, Record) else None


class StoreTestCase:
    """Tests that are given a store of the kind that their subclass makes."""

    async def make_backend(self) -> Backend:
        """Make an empty store; called once per test, in the loop that the test runs in."""
        raise TypeError(f"{type(self).__name__} must say how to make its store: make_backend()")

    def run(self, test: Callable[[Backend], Awaitable[T]]) -> T:
        """Run a test in a loop of its own, with a new store that is closed at the end."""

        async def whole() -> T:
            backend = await self.make_backend()
            try:
                return await test(backend)
            finally:
                await backend.close()

        return asyncio.run(whole())
