"""What a hit costs by what was stored: the decorated call, and what it hands to its caller."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel

from aiocache_pe import CacheManager, cached
from benchmarks.job import Job, Sample
from benchmarks.payload import ANSWER, COMPLETION, TTL
from benchmarks.timing import awaited_hit, require

PACKAGES = ("aiocache_pe", "msgspec", "numpy", "pydantic")
VECTOR = [number / 1536 for number in range(1536)]


class Message(BaseModel):
    """A part of `Completion`."""

    role: str
    content: str


class Completion(BaseModel):
    """An answer as a model with another in it."""

    id: str
    created: int
    message: Message
    tokens: dict[str, int]


MODEL = Completion(
    id=COMPLETION["id"],
    created=COMPLETION["created"],
    message=Message(role="assistant", content=ANSWER),
    tokens={"prompt": 1187, "completion": 58, "total": 1245},
)


async def text(job: Job) -> Sample:
    """Text: nobody can change it, so all get the same."""

    async def call() -> str:
        return ANSWER

    return await _hit(call, ANSWER, job)


async def completion(job: Job) -> Sample:
    """A nested dict of 800 bytes, decoded afresh for each caller."""

    async def call() -> dict[str, Any]:
        return COMPLETION

    return await _hit(call, COMPLETION, job)


async def floats(job: Job) -> Sample:
    """An embedding as a list of 1,536 floats, decoded afresh for each caller."""

    async def call() -> list[float]:
        return VECTOR

    return await _hit(call, VECTOR, job)


async def array(job: Job) -> Sample:
    """The same as an array of numpy, in float32, copied for each caller."""
    vector = np.array(VECTOR, np.float32)

    async def call() -> Any:
        return vector

    return await _hit(call, vector, job)


async def model(job: Job) -> Sample:
    """A model of pydantic, made afresh for each caller."""

    async def call() -> Completion:
        return MODEL

    return await _hit(call, MODEL, job)


async def _hit(call: Any, value: Any, job: Job) -> Sample:
    async with CacheManager("memory") as cache:
        hit = cached(cache=cache, ttl=TTL)(call)
        await hit()
        microseconds = await awaited_hit(hit, job.n)
        found = await hit()
        require(type(found), type(value))
        require(bool(np.all(found == value)), expected=True)
        require(hit.cache_info().misses, 1)
        return Sample(microseconds)
