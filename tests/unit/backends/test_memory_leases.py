"""Leases over memory are this process's alone."""

from __future__ import annotations

import asyncio
import os

from aiocache_pe.backends.memory import MemoryBackend


def test_a_forked_child_computes_for_itself() -> None:
    backend = MemoryBackend()
    lease = asyncio.run(backend.try_lease("default:a"))
    assert lease is not None
    assert not lease.is_lost
    child = os.fork()
    if child == 0:
        status = 1
        try:
            backend.try_lease("default:a").send(None)
        except StopIteration as end:
            status = 0 if end.value is not None and lease.is_lost else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asyncio.run(backend.try_lease("default:a")) is None
    asyncio.run(lease.release())
