"""Sentinels are false and have readable names."""

from __future__ import annotations

from aiocache_pe.sentinels import DEFAULT, MISSING, PENDING


def test_sentinels_are_false_and_have_readable_names() -> None:
    assert [repr(sentinel) for sentinel in (MISSING, PENDING, DEFAULT)] == [
        "<missing>",
        "<pending>",
        "<default>",
    ]
    assert not any((MISSING, PENDING, DEFAULT))
