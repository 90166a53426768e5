"""Nothing at all: what the machine, the loop and the interpreter cost by themselves."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from typing import Any

from benchmarks.crowd import AskOne, crowded
from benchmarks.job import Job, Sample
from benchmarks.payload import ANSWER, Model, around, chats, keys
from benchmarks.timing import awaited_call, blocking, worst_stall

PACKAGES: tuple[str, ...] = ()


async def call(job: Job) -> Sample:
    """A wrapper that takes any arguments and returns: the least a decorator can cost."""
    model = Model()
    model.answer()

    async def ask(*_arguments: object, **_keywords: object) -> str:
        return ANSWER

    return Sample(await awaited_call(ask, model, job.n))


async def crowd(job: Job) -> Sample:
    """1,000 tasks that await one future: the least that waiting can cost."""

    def shared(ask: AskOne) -> AskOne:
        answers: dict[str, asyncio.Future[object]] = {}

        async def once(prompt: str) -> object:
            if prompt not in answers:
                answers[prompt] = asyncio.ensure_future(ask(prompt))
            return await answers[prompt]

        return once

    return Sample(await crowded(shared, job.n))


async def stall(job: Job) -> Sample:
    """The ticker beside tasks that read nothing: what other processes do to the row."""

    async def read(key: str) -> object:
        return key

    some = keys(4000)
    return Sample(await worst_stall(read, some, around(some, job.n)))


def key_of_chat(job: Job) -> Sample:
    """The key of a chat call as many an application makes it: SHA-256 of sorted JSON."""

    def key(messages: Any) -> str:
        return sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()

    return Sample(blocking(key, chats(job.n // 10, "warm"), chats(job.n)))
