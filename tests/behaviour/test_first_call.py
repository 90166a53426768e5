"""The first call finds the cache; several threads may make it at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aiocache_pe import cached, cached_batch
from aiocache_pe.codecs.classes.registry import register_annotation
from aiocache_pe.decorators import base


@pytest.mark.parametrize("what", ["stream", "batch"])
def test_threads_that_call_it_first_at_once_adapt_its_terms_once(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[Any]()
    together = threading.Barrier(2)
    register = register_annotation

    def slowly(annotation: Any) -> None:
        together.wait(60)
        register(annotation)

    monkeypatch.setattr(base, "register_annotation", slowly)

    def noted(result: Any) -> bool:
        told.append(result)
        return True

    settings: Any = {"backend": "memory", "cache_if": noted}

    @cached(**settings)
    def stream() -> Iterator[int]:
        yield 1

    @cached_batch(**settings)
    def batch(numbers: list[int]) -> tuple[int, ...]:
        return tuple(numbers)

    def call() -> None:
        result: Any = list(stream()) if what == "stream" else batch([1])
        assert list(result) == [1]

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(call), pool.submit(call)]:
            done.result()
    assert set(map(str, told)) == {"[1]" if what == "stream" else "1"}
