"""StatsD: one datagram for each event, which is lost if there is no server."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from aiocache_pe import ConfigurationError, instrument, sync
from aiocache_pe.events import Hit
from aiocache_pe.metrics.statsd import StatsdSink
from tests.support.events import EVENTS


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        yield server


def get_address(server: socket.socket) -> str:
    return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_cache_sends_its_events(server: socket.socket) -> None:
    cache = sync.CacheManager("memory", namespace="a|b:c\nd")
    with instrument(cache, statsd=get_address(server)):
        cache.get("the key")
        cache.set("the key", 1)
        cache.get("the key")
    cache.get("the key")
    tags = "#store:memory,namespace:a_b_c_d"
    assert server.recv(2000).decode() == f"cache.gets:1|c|{tags},tier:none,result:miss"
    puts = server.recv(2000).decode().splitlines()
    assert puts[0] == f"cache.puts:1|c|{tags}"
    assert puts[1].startswith("cache.put.duration:")
    assert puts[1].endswith(f"|ms|{tags}")
    assert server.recv(2000).decode() == f"cache.gets:1|c|{tags},tier:memory,result:hit"
    server.settimeout(0)
    with pytest.raises(BlockingIOError):
        server.recv(2000)


def test_an_event_with_savings_is_one_datagram(server: socket.socket) -> None:
    sink = StatsdSink(get_address(server))
    [hit] = [event for event in EVENTS if isinstance(event, Hit)]
    sink.handle(hit, "file", "search")
    tags = "#store:file,namespace:search"
    assert server.recv(2000).decode().splitlines() == [
        f"cache.gets:1|c|{tags},tier:file,result:hit",
        f"cache.get.duration:250|ms|{tags},result:hit",
        f"cache.saved.seconds:3|c|{tags}",
        f"cache.saved.tokens:10|c|{tags},direction:input",
        f"cache.saved.tokens:20|c|{tags},direction:output",
        f"cache.saved.money:0.5|c|{tags}",
    ]
    sink.close()


def test_a_server_that_is_away_breaks_no_call(server: socket.socket) -> None:
    address = get_address(server)
    server.close()
    cache = sync.CacheManager("memory")
    with instrument(cache, statsd=address):
        for _ in range(3):  # the second one meets the refusal of the first
            assert cache.get("absent") is None


@pytest.mark.parametrize(
    "address", ["", ":8125", "host:0", "host:70000", "host:port", "a:1:2", "nowhere.invalid:8125"]
)
def test_an_invalid_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="statsd must be"):
        instrument(sync.CacheManager("memory"), statsd=address)
