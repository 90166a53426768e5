"""A batch of many texts, half of them twice, some known: ``python -m benchmarks.batch``.

The model is a stand-in that takes a time per call and a time per text, as those behind an
API do. Told are the texts that were sent to it, whether the results are in order, and the
time, against caching each text by itself, one by one and many at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from tempfile import TemporaryDirectory

from aiocache_pe import CacheManager, cached, cached_batch

DIMENSIONS = 384
AT_ONCE = 64
Way = Callable[["Model", CacheManager, Sequence[str]], Awaitable[list[list[float]]]]


class Model:
    """Embeds texts, and counts what it is sent.

    Args:
        per_call: seconds that a call takes.
        per_text: seconds that each of its texts adds.
    """

    def __init__(self, per_call: float, per_text: float) -> None:
        self._per_call = per_call
        self._per_text = per_text
        self.calls = self.texts = 0

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text."""
        self.calls += 1
        self.texts += len(texts)
        await asyncio.sleep(self._per_call + self._per_text * len(texts))
        return [vector(text) for text in texts]


def vector(text: str) -> list[float]:
    """The embedding of a text; the same in every process."""
    place = int(text.rpartition(" ")[2])
    return [(place * 31 + column * 17) % 1009 / 1009 for column in range(DIMENSIONS)]


async def in_batches(model: Model, cache: CacheManager, texts: Sequence[str]) -> list[list[float]]:
    """All of them in one call of a function that is decorated by `cached_batch`."""
    embed = cached_batch(cache=cache, key="{texts}", batch_size=500, concurrency=4)(model.embed)
    return await embed(texts)


async def one_by_one(model: Model, cache: CacheManager, texts: Sequence[str]) -> list[list[float]]:
    """Each text in a cached call of its own, one after another."""
    embed_one = _of_one(model, cache)
    return [await embed_one(text) for text in texts]


async def many_at_once(
    model: Model, cache: CacheManager, texts: Sequence[str]
) -> list[list[float]]:
    """The same, some of them at a time."""
    embed_one = _of_one(model, cache)
    gate = asyncio.Semaphore(AT_ONCE)

    async def call(text: str) -> list[float]:
        async with gate:
            return await embed_one(text)

    return await asyncio.gather(*map(call, texts))


async def uncached(model: Model, cache: CacheManager, texts: Sequence[str]) -> list[list[float]]:
    """All of them, in calls of as many texts as the batches have."""
    results: list[list[float]] = []
    for at in range(0, len(texts), 500):
        results += await model.embed(texts[at : at + 500])
    return results


def _of_one(model: Model, cache: CacheManager) -> Callable[[str], Awaitable[list[float]]]:
    @cached(cache=cache, key="{text}", key_prefix="one")
    async def embed_one(text: str) -> list[float]:
        [found] = await model.embed([text])
        return found

    return embed_one


WAYS: dict[str, Way] = {
    "cached_batch": in_batches,
    f"cached, each text by itself, {AT_ONCE} at once": many_at_once,
    "cached, each text by itself, one by one": one_by_one,
    "no cache, in batches": uncached,
}


async def measured(way: Way, texts: Sequence[str], known: Sequence[str], model: Model) -> str:
    """One line of the table: a way, over a store that knows some of the texts."""
    with TemporaryDirectory() as folder:
        async with CacheManager("file", directory=folder) as cache:
            await way(Model(0.0, 0.0), cache, known)
            began = time.perf_counter()
            results = await way(model, cache, texts)
            seconds = time.perf_counter() - began
            began = time.perf_counter()
            again = await way(Model(1e6, 0.0), cache, texts) if way is not uncached else results
            hits = time.perf_counter() - began
    in_order = results == again == [vector(text) for text in texts]
    told = f"{hits:9.2f}" if way is not uncached else " " * 9
    return (
        f"{model.texts:7,} {model.calls:7,} {'yes' if in_order else 'NO':>8} {seconds:8.2f} {told}"
    )


async def main() -> None:
    """Make the texts and try each way."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.batch")
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--per-call", type=float, default=0.005, help="seconds")
    parser.add_argument("--per-text", type=float, default=0.0002, help="seconds")
    given = parser.parse_args()
    different = [f"a text about the number {n}" for n in range(given.texts // 2)]
    texts = different * 2
    random.Random(7).shuffle(texts)  # noqa: S311 - the same order each time
    known = different[: len(different) * 3 // 10]
    print(
        f"{len(texts):,} texts, {len(different):,} different, {len(known):,} of those in the store "
        f"(files); vectors of {DIMENSIONS} floats; the model takes {1000 * given.per_call:g} ms a "
        f"call and {1000 * given.per_text:g} ms a text"
    )
    print(f"{'':44}   sent   calls in order  seconds all hits")
    for name, way in WAYS.items():
        line = await measured(way, texts, known, Model(given.per_call, given.per_text))
        print(f"{name:44}{line}")


if __name__ == "__main__":
    asyncio.run(main())
