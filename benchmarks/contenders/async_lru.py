"""async-lru: the decorator most people reach for when one process is enough."""

from __future__ import annotations

from async_lru import alru_cache

from benchmarks.crowd import crowded
from benchmarks.job import Job, Sample
from benchmarks.payload import TTL, Model
from benchmarks.timing import awaited_call

PACKAGES = ("async-lru",)


async def decorated_hit(job: Job) -> Sample:
    """A hit; with a TTL, which it keeps by one timer per entry."""
    model = Model()
    ask = alru_cache(maxsize=1024, ttl=TTL)(model.function())
    return Sample(await awaited_call(ask, model, job.n))


async def crowd(job: Job) -> Sample:
    """1,000 callers on one missing key; all of them get the very same object."""
    return Sample(await crowded(alru_cache(maxsize=1024, ttl=TTL), job.n))
