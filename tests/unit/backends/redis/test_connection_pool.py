"""A server that hangs is left by all at once; one that only takes its time is not."""

from __future__ import annotations

import asyncio

from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.backends.redis.connection_pool import HangDetector
from aiocache_pe.exceptions import StoreUnavailableError
from aiocache_pe.testing.contract_support import AREA
from tests.support.polling import poll
from tests.support.servers.redis_server import Server


class Connection:
    """One that is in use."""

    def __init__(self) -> None:
        self.is_connected = True
        self.looks = 0
        self.moves = False
        self.why = ""

    @property
    def progress(self) -> tuple[int, int]:
        self.looks += 1
        return (self.looks if self.moves else 0), 0

    def cut(self, why: str) -> None:
        self.why = why


async def test_all_who_wait_are_told_when_nothing_comes(own_redis: Server) -> None:
    backend = RedisBackend(own_redis.url, tracking=False)
    await asyncio.gather(*(backend.read([AREA + "k"]) for _ in range(40)))
    pool = backend._clients.link().pool
    assert pool is not None
    pool._silence.patience = 0.1
    own_redis.freeze()
    try:
        calls = [backend.read([AREA + "k"]) for _ in range(16)]
        errors = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        own_redis.thaw()
    assert {type(error) for error in errors} == {StoreUnavailableError}
    assert all("no answer for 0.1 s to" in str(error) for error in errors)
    assert await backend.read([AREA + "k"]) == {}
    await backend.close()


async def test_who_says_how_long_a_call_may_take_is_believed(own_redis: Server) -> None:
    backend = RedisBackend(f"{own_redis.hasty_url}?socket_timeout=30", tracking=False)
    await asyncio.gather(*(backend.read([AREA + "k"]) for _ in range(8)))
    own_redis.freeze()
    asyncio.get_running_loop().call_later(0.8, own_redis.thaw)
    assert await asyncio.gather(*(backend.read([AREA + "k"]) for _ in range(8))) == [{}] * 8
    await backend.close()


async def test_bytes_on_their_way_are_a_sign_of_life() -> None:
    waiting = [Connection(), Connection()]
    waiting[1].moves = True
    silence = HangDetector(0.1, lambda: waiting)
    silence.watch()
    await poll(lambda: waiting[0].looks > 8)
    assert [each.why for each in waiting] == ["", ""]
    waiting[1].moves = False
    await poll(lambda: all(each.why for each in waiting))
    assert waiting[0].why == "no answer for 0.1 s to 2 calls"
    waiting.clear()


async def test_answers_to_others_are_a_sign_of_life() -> None:
    waiting = [Connection(), Connection()]
    silence = HangDetector(0.1, lambda: waiting)
    silence.watch()
    while waiting[0].looks < 8:
        silence.answers += 1
        await asyncio.sleep(0.01)
    assert [each.why for each in waiting] == ["", ""]
    waiting.clear()


async def test_one_alone_may_have_asked_for_something_long() -> None:
    waiting = [Connection()]
    silence = HangDetector(0.1, lambda: waiting)
    silence.watch()
    await poll(lambda: waiting[0].looks > 8)
    assert waiting[0].why == ""
    waiting.clear()
