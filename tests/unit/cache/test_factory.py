"""Settings: what works is made, what cannot work is refused at once and in words."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from aiocache_pe import CacheManager, ConfigurationError, SecretRequiredError
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.exceptions import InvalidKeyError, InvalidTTLError
from tests.support.broken_backends import SecretlessBackend

DISTRIBUTION = """\
Metadata-Version: 2.1
Name: aiocache-pe-example
Version: 1.0
"""
STORE = """
from aiocache_pe.backends.memory import MemoryBackend

class Store(MemoryBackend):
    def __init__(self, url):
        super().__init__()
        self.url = url

    def __repr__(self):
        return f"Store({self.url!r})"

def broken(url):
    return object()
"""


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution that registers two schemes."""
    info = tmp_path / "site" / "aiocache_pe_example-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(DISTRIBUTION)
    (info / "entry_points.txt").write_text(
        "[aiocache_pe.backends]\nexample = third_party_store:Store\n"
        "broken = third_party_store:broken\n"
    )
    (tmp_path / "site" / "third_party_store.py").write_text(STORE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "third_party_store", raising=False)


def refused(says: str, **settings: Any) -> None:
    with pytest.raises(ConfigurationError, match=says):
        CacheManager(**settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"backend": "disk"}, "backend 'disk' is not known; accepted: 'file', 'redis', 'memory', "),
        ({"backend": ""}, "backend '' is not known"),
        ({"backend": "FILE"}, "backend 'FILE' is not known"),
        ({"backend": "rediss"}, "backend 'rediss' is not known"),
        ({"backend": "redis:/user:hunter2@host"}, "^backend 'redis' is not known[^2]*$"),
        ({"backend": "unix"}, "backend 'unix' is not known"),
        ({"backend": "ftp://host"}, "'ftp' is not known; .* entry points in the group"),
        ({"backend": 7}, "backend int lacks 'read', 'write', .*; accepted: 'file'"),
        ({"backend": MemoryBackend}, "backend is a class, MemoryBackend; give an object of it"),
        ({"backend": "redis+tcp://host"}, r"backend 'redis\+tcp' is not known"),
        (
            {"redis_url": "host:6379"},
            "the scheme of a Redis URL must be one of redis://, .*; got none",
        ),
        (
            {"redis_url": "redis://a", "backend": "file"},
            "names a Redis server, and backend is 'file'",
        ),
        ({"redis_url": "redis://a", "backend": MemoryBackend()}, "and backend is an object"),
        ({"redis_url": "redis://a", "backend": "redis://b"}, "the server is named twice"),
        ({"backend": "redis://u:secret@host:port"}, "the redis URL must have the form redis://"),
        ({"backend": "redis://a,b"}, "a redis:// URL must name one server; got 2"),
        ({"backend": "redis+sentinel://a"}, "must name the service after the hosts"),
        ({"backend": "redis+cluster://a/1"}, "the database of a Redis Cluster must be 0; got 1"),
        ({"backend": "redis://a?decode_responses=1"}, "decode_responses must not be set"),
        (
            {"backend": "redis://a?timeout=1"},
            "setting in a Redis URL must be one of .*; got 'timeout'",
        ),
        (
            {"backend": "redis://a?max_connection="},
            "Redis URL must be one of .*; got 'max_connection'",
        ),
        (
            {"backend": "redis://a?ssl_certfile=x"},
            "Redis URL must be one of .*; got 'ssl_certfile'",
        ),
        ({"backend": "redis+cluster://a?b=1"}, "setting in a Redis URL must be one of .*; got 'b'"),
        (
            {"backend": "redis+sentinel://a/s?b=1"},
            "setting in a Redis URL must be one of .*; got 'b'",
        ),
        ({"redis_url": "unix:///a?b=1"}, "setting in a Redis URL must be one of .*; got 'b'"),
        (
            {"backend": "redis://a?max_connections=0"},
            "max_connections of a Redis URL must be at least 1; got 0",
        ),
        ({"backend": "redis://a/main"}, "the database of a Redis URL must be a number"),
        ({"backend": "redis+sentinel://a/s/main"}, "the database of a Redis URL must be a number"),
        ({"backend": "redis://a", "max_bytes": 9}, "bounds the file store and .*; the Redis store"),
        ({"backend": "file://relative/path"}, "names no local path; accepted: file:///absolute"),
        ({"backend": "file://"}, "names no local path; accepted: file:///absolute"),
        ({"backend": "file:///a%00b"}, "is not a path"),
        ({"backend": "file:///a?b"}, "'file:///a.b' has more than a path; settings are arg"),
        ({"backend": "file:///a#b"}, "'file:///a#b' has more than a path; settings are arg"),
        ({"backend": "memory://?max_entries=5"}, "goes on after memory://; settings are arguments"),
        ({"backend": "null://x"}, "'null://x' goes on after null://; settings are arguments"),
        ({"directory": 7}, "directory is a path, not int: 7"),
        ({"directory": b"cache"}, "directory is a path, not bytes"),
        ({"directory": ""}, "directory '' is not a path; accepted: a non-empty str"),
        ({"directory": "a\0b"}, "is not a path"),
        ({"backend": "memory", "directory": "x"}, "directory='x' means nothing to the memory"),
        ({"backend": "null", "directory": "x"}, "means nothing to the null store"),
        ({"backend": "file:///x", "directory": "x"}, "means nothing to a file URL"),
        ({"backend": MemoryBackend(), "directory": "x"}, "means nothing to a backend object"),
        (
            {"max_bytes": 10, "backend": "null"},
            "max_bytes bounds the file store .*; the null",
        ),
        ({"max_bytes": 10, "backend": MemoryBackend()}, "a backend object cannot be bounded"),
        ({"max_entries": 9, "eviction": "lirs"}, "'lirs' works in memory only; .*accepted: 'adap"),
        ({"max_entries": 0}, "max_entries 0 is not accepted; an int of at least 1, or None"),
        ({"max_entries": True}, "max_entries True is not accepted"),
        ({"max_entries": 1.5}, "max_entries 1.5 is not accepted"),
        ({"max_bytes": -1}, "max_bytes -1 is not accepted; an int of at least 1, or None"),
        ({"memory_max_bytes": -1}, "memory_max_bytes -1 is not accepted; an int of at least 0"),
        ({"memory_max_bytes": None}, "memory_max_bytes None is not accepted; an int of at least 0"),
        ({"memory_max_bytes": "1M"}, "memory_max_bytes '1M' is not accepted"),
        (
            {"eviction": "random"},
            "eviction 'random' is not known; accepted: 'adaptive', 'fifo', 'lfu', 'lirs', 'lru'",
        ),
        ({"eviction": ["lru"]}, r"eviction \['lru'\] is not known"),
        ({"compression": "brotli"}, 'compression must be "zstd", "gzip" or None; got .brotli.'),
        ({"compression": 9}, "compression must be .*; got 9"),
        ({"secret": 7}, "secret must be bytes, str or None; got int"),
        ({"secret": ""}, "secret must not be empty; use text or bytes"),
        ({"secret": b""}, "secret must not be empty"),
        ({"secret": 0}, "secret must be bytes, str or None; got int"),
        ({"fallback": "memory"}, "fallback 'memory' is not known; accepted: 'file' and None"),
        ({"clock": 7}, r"clock 7 has no time\(\) and monotonic\(\)"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(settings: dict[str, Any], says: str) -> None:
    refused(says, **settings)


def test_a_password_is_in_no_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        CacheManager("rediss://user:hunter2@host:port")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"namespace": ""}, InvalidKeyError),
        ({"namespace": 7}, TypeError),
        ({"ttl": -1}, InvalidTTLError),
        ({"ttl": "soon"}, InvalidTTLError),
    ],
)
def test_namespaces_and_times_are_checked_as_everywhere(
    settings: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        CacheManager("memory", **settings)


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, "FileBackend('{cwd}/data/cache')"),
        ({"backend": "file"}, "FileBackend('{cwd}/data/cache')"),
        ({"directory": "x"}, "FileBackend('{cwd}/x')"),
        ({"directory": PurePosixPath("/x/y")}, "FileBackend('/x/y')"),
        ({"directory": "~/x"}, "FileBackend('/home/ada/x')"),
        ({"directory": PurePosixPath("~/x")}, "FileBackend('/home/ada/x')"),
        ({"directory": "~nobody-here/x"}, "FileBackend('{cwd}/~nobody-here/x')"),
        ({"backend": "file:///a%20b/c"}, "FileBackend('/a b/c')"),
        ({"backend": "file:///a%3Fb/~"}, "FileBackend('/a?b/~')"),
        ({"backend": "file://localhost/a"}, "FileBackend('/a')"),
        ({"backend": "memory"}, "MemoryBackend(0 entries)"),
        ({"backend": "memory://"}, "MemoryBackend(0 entries)"),
        ({"backend": "null"}, "NullBackend()"),
        ({"backend": "redis", "fallback": None}, "RedisBackend('redis://localhost:6379/0')"),
        (
            {"backend": "redis", "directory": "/x"},
            "FallbackBackend(RedisBackend('redis://localhost:6379/0'), FileBackend('/x/.fallback-8375a338'))",  # noqa: E501
        ),
        (
            {"redis_url": "unix:///run/redis.sock?db=2&client_name=a@b", "fallback": None},
            "RedisBackend('unix:///run/redis.sock')",
        ),
        (
            {"backend": "unix:///run/redis.sock", "fallback": None},
            "RedisBackend('unix:///run/redis.sock')",
        ),
        (
            {"redis_url": "redis://:hunter2@a/1?socket_timeout=9", "fallback": None},
            "RedisBackend('redis://a/1')",
        ),
        (
            {"backend": "redis", "redis_url": "redis+cluster://a,b", "fallback": None},
            "RedisBackend('redis+cluster://a,b')",
        ),
        (
            {"backend": "rediss+sentinel://u:p@a,b/s", "fallback": None},
            "RedisBackend('rediss+sentinel://a,b/s')",
        ),
    ],
    ids=str,
)
def test_a_backend_has_many_names(
    settings: dict[str, Any], shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    shown = shown.format(cwd=tmp_path)
    assert repr(CacheManager(**settings)) == f"CacheManager({shown}, namespace='default')"
    assert list(tmp_path.iterdir()) == []  # nothing is made before it is needed


@pytest.mark.parametrize(
    ("variable", "value", "shown"),
    [
        ("BACKEND", "memory", "CacheManager(MemoryBackend(0 entries), namespace='default')"),
        ("BACKEND", "file:///x", "CacheManager(FileBackend('/x'), namespace='default')"),
        ("DIRECTORY", "/x/y", "CacheManager(FileBackend('/x/y'), namespace='default')"),
        ("NAMESPACE", "other", "CacheManager(FileBackend('/d'), namespace='other')"),
        ("DISABLE", "1", "CacheManager(NullBackend(), namespace='default')"),
        ("DISABLE", " Yes ", "CacheManager(NullBackend(), namespace='default')"),
        ("DISABLE", "0", "CacheManager(FileBackend('/d'), namespace='default')"),
        ("DISABLE", "", "CacheManager(FileBackend('/d'), namespace='default')"),
        ("BACKEND", "", "CacheManager(FileBackend('/d'), namespace='default')"),
        (
            "BACKEND",
            "redis",
            "CacheManager(FallbackBackend(RedisBackend('redis://h'), FileBackend('/d/.fallback-2493ff46')), namespace='default')",  # noqa: E501
        ),
    ],
)
def test_the_environment_says_what_arguments_do_not(
    variable: str, value: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOCACHE_PE_DIRECTORY", "/d")
    monkeypatch.setenv("REDIS_URL", "redis://h")
    monkeypatch.setenv(f"AIOCACHE_PE_{variable}", value)
    assert repr(CacheManager()) == shown


def test_arguments_count_more_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOCACHE_PE_BACKEND", "null")
    monkeypatch.setenv("AIOCACHE_PE_NAMESPACE", "other")
    monkeypatch.setenv("AIOCACHE_PE_DIRECTORY", "/d")
    cache = CacheManager("file", directory="/x", namespace="mine")
    assert repr(cache) == "CacheManager(FileBackend('/x'), namespace='mine')"


def test_a_setting_of_the_environment_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOCACHE_PE_DISABLE", "maybe")
    refused("AIOCACHE_PE_DISABLE='maybe' is not known; accepted: '1', 'true', .* '0'")


def test_disabling_turns_off_a_store_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOCACHE_PE_DISABLE", "1")
    assert "NullBackend" in repr(CacheManager(MemoryBackend()))


async def test_the_secret_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, cache_dir: Path
) -> None:
    monkeypatch.setenv("AIOCACHE_PE_SECRET", "of the environment")
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set("k", Unregistered())
    monkeypatch.setenv("AIOCACHE_PE_SECRET", "another")
    async with CacheManager(directory=cache_dir) as cache:
        assert await cache.get("k", "not trusted") == "not trusted"
    assert not (cache_dir / ".secret").exists()


async def test_without_any_secret_pickle_is_refused() -> None:
    async with CacheManager(SecretlessBackend()) as cache:
        with pytest.raises(SecretRequiredError, match="pass secret= to the manager or set"):
            await cache.set("k", Unregistered())
        assert not await cache.exists("k")


@pytest.mark.usefixtures("third_party")
async def test_a_third_partys_store_is_found_by_its_scheme() -> None:
    async with CacheManager("example://host/1") as cache:
        assert "Store('example://host/1')" in repr(cache)
        await cache.set("k", 1)
        assert await cache.get("k") == 1
    refused(
        "max_entries bounds .*; the example store cannot be bounded",
        backend="example://",
        max_entries=1,
    )
    refused("backend object lacks 'read'", backend="broken://")


class Unregistered:
    """Only pickle can hold it."""
