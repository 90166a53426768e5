"""Prefork workers that share a cache: four processes answer twenty jobs, and each question once.

    python -m examples.prefork_worker [QUESTIONS]

The module creates the cache before the fork, as with ``gunicorn --preload`` and Celery's prefork
pool. Each worker opens the client of the model after the fork, because processes must not share
connections. Run it twice: the second run sends no requests.
"""

from __future__ import annotations

import multiprocessing
import sys
from functools import lru_cache
from multiprocessing.util import Finalize

from openai import OpenAI

from aiocache_pe.sync import CacheManager, cached
from examples.upstream import get_api_key, open_model

WORKERS = 4
QUESTIONS = ["What is a fork?", "What is a worker?", "What is a job?", "When does a lease end?"]
PREFORK = multiprocessing.get_context("fork")

cache = CacheManager()


@lru_cache
def open_client(base_url: str) -> OpenAI:
    """Return the client of this process."""
    return OpenAI(base_url=base_url, api_key=get_api_key())


@cached(cache=cache, ttl="30d", ignore=["base_url"])
def answer(question: str, model: str, base_url: str) -> str:
    """Return the model's answer."""
    answer = open_client(base_url).chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}]
    )
    return answer.choices[0].message.content or ""


def close_at_end() -> None:
    """Close the cache when this worker ends, so that its last hits are counted.

    Processes of `multiprocessing` do not call the handlers of `atexit`.
    """
    Finalize(None, cache.close, exitpriority=0)


def main(questions: list[str]) -> None:
    """Let the workers answer each question five times."""
    with PREFORK.Pool(WORKERS, close_at_end) as pool:
        with open_model() as (base_url, model):
            jobs = [(question, model, base_url) for question in questions * 5]
            found = pool.starmap(answer, jobs, chunksize=1)
        pool.close()
        pool.join()
    stats = cache.get_stats()  # of all processes and runs
    print(f"{len(found)} jobs, {len(set(found))} different answers")
    print(f"{WORKERS} workers; {stats.hits} hits and {stats.misses} misses in all runs")


if __name__ == "__main__":
    main(sys.argv[1:] or QUESTIONS)
