"""Support of the contract's tests: records to store, and a new store for each test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from msgspec.structs import replace

from aiocache_pe.backends.base import Backend
from aiocache_pe.record import Head, Record

PREFIX = "contract:"
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
"""Keys that are difficult for stores."""


def make_record(name: str, payload: bytes = b"1", **head: Any) -> Record:
    """Return a record with the store key ``contract:name``."""
    return Record(
        Head(1, PREFIX + name, "json", head.pop("created_at", 1000.0), len(payload), **head),
        payload,
    )


def make_touched(record: Record) -> Record:
    """Return a record with the same payload and another end of its lifetime."""
    return Record(replace(record.head, expires_at=9e9), record.payload)


def get_content(result: object) -> tuple[Head, bytes] | None:
    """Return the head and the payload of a record, without its stamp; ``None`` without one."""
    return (result.head, result.payload) if isinstance(result, Record) else None


class StoreTestCase:
    """Base of tests that run with a new store, which a subclass makes."""

    async def make_backend(self) -> Backend:
        """Return an empty store; called once for each test, in the event loop of the test."""
        raise TypeError(
            f"{type(self).__name__} must define make_backend(), which returns its store"
        )


def with_store(
    test: Callable[[Any, Backend], Coroutine[Any, Any, None]],
) -> Callable[[Any], None]:
    """Run a test in a new event loop with a new store, and close the store at the end."""

    async def run_and_close(case: StoreTestCase) -> None:
        backend = await case.make_backend()
        try:
            await test(case, backend)
        finally:
            await backend.close()

    def run(case: StoreTestCase) -> None:
        asyncio.run(run_and_close(case))

    run.__name__, run.__qualname__ = test.__name__, test.__qualname__  # pytest would follow `wraps`
    return run
