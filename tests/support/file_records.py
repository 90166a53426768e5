"""Records for tests of the file store's parts."""

from __future__ import annotations

from typing import Any

from aiocache_pe.record import Head, Record


def record(name: str = "k", payload: bytes = b"1", **head: Any) -> Record:
    """A record of the namespace ``default``."""
    return Record(Head(1, f"default:{name}", "json", 1000.0, len(payload), **head), payload)
