"""cachebox: memory only, written in Rust; the fastest decorator there is."""

from __future__ import annotations

from cachebox import TTLCache, cached

from benchmarks.job import Job, Sample
from benchmarks.payload import TTL, Model
from benchmarks.timing import awaited_call

PACKAGES = ("cachebox",)


async def decorated_hit(job: Job) -> Sample:
    """A hit in a cache with a TTL."""
    model = Model()
    ask = cached(TTLCache(1024, TTL))(model.function())
    return Sample(await awaited_call(ask, model, job.n))
