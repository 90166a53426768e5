"""What it takes to make the key of a chat call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiocache_pe.keys.call_key import CallKey
from benchmarks.job import Job, Sample
from benchmarks.payload import chat, chats
from benchmarks.timing import blocking

PACKAGES = ("aiocache_pe",)


def new(job: Job) -> Sample:
    """Of a call that was not made before."""
    return Sample(blocking(_maker(), chats(job.n // 10, "warm"), chats(job.n)))


def again(job: Job) -> Sample:
    """Of a call that was made before: it is remembered."""
    return Sample(blocking(_maker(), [chat("again")], [chat("again")] * job.n))


def _maker() -> Callable[[Any], str]:
    async def complete(messages: Any, model: str = "small", temperature: float = 0.2) -> None: ...

    key = CallKey(complete, start="default:").key
    return lambda messages: key((messages,), {})
