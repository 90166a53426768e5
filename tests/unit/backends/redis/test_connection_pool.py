"""Connection pool: a hanging server releases all calls at once; a slow one does not."""

from __future__ import annotations

import asyncio

from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.backends.redis.connection_pool import HangDetector
from aiocache_pe.exceptions import StoreUnavailableError
from aiocache_pe.testing.contract_support import PREFIX
from tests.support.internals import get_redis_link
from tests.support.polling import poll
from tests.support.servers.redis_server import Server


class FakeConnection:
    """A connection in use; counts the checks, and makes progress if `is_moving`."""

    def __init__(self) -> None:
        self.is_connected = True
        self.checks = 0
        self.is_moving = False
        self.abort_reason = ""

    @property
    def progress(self) -> tuple[int, int]:
        self.checks += 1
        return (self.checks if self.is_moving else 0), 0

    def abort(self, reason: str) -> None:
        self.abort_reason = reason


async def test_a_hanging_server_releases_all_calls(own_redis: Server) -> None:
    backend = RedisBackend(own_redis.url, tracking=False)
    await asyncio.gather(*(backend.read([PREFIX + "k"]) for _ in range(40)))
    pool = get_redis_link(backend).pool
    assert pool is not None
    pool._hang_detector.hang_timeout = 0.1
    own_redis.freeze()
    try:
        calls = [backend.read([PREFIX + "k"]) for _ in range(16)]
        errors = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        own_redis.thaw()
    assert {type(error) for error in errors} == {StoreUnavailableError}
    assert all("no answer for 0.1 s to" in str(error) for error in errors)
    assert await backend.read([PREFIX + "k"]) == {}
    await backend.close()


async def test_the_time_limit_of_the_url_applies_to_a_hanging_server(own_redis: Server) -> None:
    backend = RedisBackend(f"{own_redis.default_url}?socket_timeout=30", tracking=False)
    await asyncio.gather(*(backend.read([PREFIX + "k"]) for _ in range(8)))
    own_redis.freeze()
    asyncio.get_running_loop().call_later(0.8, own_redis.thaw)
    assert await asyncio.gather(*(backend.read([PREFIX + "k"]) for _ in range(8))) == [{}] * 8
    await backend.close()


async def test_transferred_bytes_are_a_sign_of_life() -> None:
    waiting = [FakeConnection(), FakeConnection()]
    waiting[1].is_moving = True
    HangDetector(0.1, waiting).start()
    await poll(lambda: waiting[0].checks > 8)
    assert [connection.abort_reason for connection in waiting] == ["", ""]
    waiting[1].is_moving = False
    await poll(lambda: all(connection.abort_reason for connection in waiting))
    assert waiting[0].abort_reason == "no answer for 0.1 s to 2 calls"
    waiting.clear()


async def test_answers_to_other_calls_are_a_sign_of_life() -> None:
    waiting = [FakeConnection(), FakeConnection()]
    detector = HangDetector(0.1, waiting)
    detector.start()
    while waiting[0].checks < 8:
        detector.answer_count += 1
        await asyncio.sleep(0.01)
    assert [connection.abort_reason for connection in waiting] == ["", ""]
    waiting.clear()


async def test_a_single_call_may_wait_for_a_long_answer() -> None:
    waiting = [FakeConnection()]
    HangDetector(0.1, waiting).start()
    await poll(lambda: waiting[0].checks > 8)
    assert waiting[0].abort_reason == ""
    waiting.clear()
