"""Batches in a recording: each item is recorded and replayed as a call of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiocache_pe import CacheManager, UnrecordedCallError, bypass, cached_batch, recording


@pytest.mark.parametrize("kind", [list, tuple, lambda rows: np.array(rows)])  # noqa: PLW0108
@pytest.mark.parametrize("blocking", [False, True])
async def test_items_are_recorded_and_replayed_separately(
    memory: CacheManager, tmp_path: Path, kind: Any, blocking: bool
) -> None:
    calls = list[list[str]]()

    def compute(texts: list[str]) -> Any:
        calls.append(texts)
        return kind([[float(len(text)), 0.5] for text in texts])

    @cached_batch(cache=memory, batch_size=2)
    async def embed(texts: list[str]) -> Any:
        return compute(texts)

    @cached_batch(cache=memory, batch_size=2)
    def embed_blocking(texts: list[str]) -> Any:
        return compute(texts)

    async def call(*texts: str) -> Any:
        if blocking:
            return await asyncio.to_thread(embed_blocking, list(texts))
        return await embed(list(texts))

    with recording(tmp_path, "record"):
        first = await call("a", "bb", "a", "ccc")
        with bypass():
            await call("a")
    assert calls == [["a", "bb"], ["ccc"]]
    assert len(list(tmp_path.iterdir())) == 3
    with recording(tmp_path, "replay"):
        again = await call("a", "bb", "a", "ccc")
        assert np.array_equal(again, first)
        assert type(again) is type(first)
        assert type(await call("ccc")) is type(first)
    assert len(calls) == 2
    assert (await memory.get_stats()).total_entries == 0


async def test_an_item_that_was_not_recorded_raises(memory: CacheManager, tmp_path: Path) -> None:
    @cached_batch(cache=memory)
    async def embed(texts: list[str]) -> list[int]:
        return [len(text) for text in texts]

    with recording(tmp_path, "record"):
        await embed(["a"])
    with recording(tmp_path, "replay") as replayed:
        with pytest.raises(UnrecordedCallError, match="bb"):
            await embed(["a", "bb"])
        replayed.unrecorded.clear()
