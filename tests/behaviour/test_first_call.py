"""First calls of a decorated function, made by several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aiocache_pe import cached, cached_batch
from aiocache_pe.codecs.classes.registry import register_annotation
from aiocache_pe.decorators import base


@pytest.mark.parametrize("kind", ["stream", "batch"])
def test_concurrent_first_calls_wrap_the_settings_once(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = list[Any]()
    together = threading.Barrier(2)
    register = register_annotation

    def slowly(annotation: Any) -> None:
        together.wait(60)
        register(annotation)

    monkeypatch.setattr(base, "register_annotation", slowly)

    def record(result: Any) -> bool:
        results.append(result)
        return True

    settings: Any = {"backend": "memory", "cache_if": record}

    @cached(**settings)
    def stream() -> Iterator[int]:
        yield 1

    @cached_batch(**settings)
    def batch(numbers: list[int]) -> tuple[int, ...]:
        return tuple(numbers)

    def call() -> None:
        result: Any = list(stream()) if kind == "stream" else batch([1])
        assert list(result) == [1]

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(call), pool.submit(call)]:
            done.result()
    assert set(map(str, results)) == {"[1]" if kind == "stream" else "1"}
