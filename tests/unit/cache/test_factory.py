"""Valid settings give a manager, and invalid ones raise at once with the accepted values."""

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
    """Install a distribution that registers two schemes."""
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


INVALID_SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"backend": "disk"}, "backend must be one of 'file', 'redis', 'memory', .*; got 'disk'$"),
    ({"backend": ""}, "backend must be .*; got ''$"),
    ({"backend": "FILE"}, "backend must be .*; got 'FILE'$"),
    ({"backend": "rediss"}, "backend must be .*; got 'rediss'$"),
    ({"backend": "redis:/user:hunter2@host"}, "^backend must be [^2]*; got 'redis'$"),
    (
        {"backend": "redis:/user:hunter2@host", "max_bytes": 9},
        "^backend must be one of [^2]*; got 'redis'$",
    ),
    ({"backend": "unix"}, "backend must be .*; got 'unix'$"),
    ({"backend": "ftp://host"}, "registered as an entry point in the group .*; got 'ftp'$"),
    ({"backend": 7}, "backend must be one of 'file', .*; got int without 'read', 'write', "),
    ({"backend": MemoryBackend}, "backend must be an object; got the class MemoryBackend; create"),
    ({"backend": "redis+tcp://host"}, r"backend must be .*; got 'redis\+tcp'$"),
    (
        {"redis_url": "host:6379"},
        "the scheme of a Redis URL must be one of redis://, .*; got none",
    ),
    (
        {"redis_url": "redis://a", "backend": "file"},
        "redis_url must not be given with another store; backend is 'file'",
    ),
    ({"redis_url": "redis://a", "backend": MemoryBackend()}, "; backend is an object"),
    (
        {"redis_url": "redis://a", "backend": "redis://b"},
        "redis_url must not be given with a Redis URL as backend; name the server once",
    ),
    ({"backend": "redis://u:secret@host:port"}, "the redis URL must have the form"),
    ({"backend": "redis://a,b"}, r"a redis:// URL must name one server; got 2\. .*redis.sentinel"),
    ({"backend": "redis+sentinel://a"}, "URL must name the service after the hosts"),
    ({"backend": "redis+cluster://a/1"}, "the database of a Redis Cluster must be 0; got 1"),
    ({"backend": "redis://a?decode_responses=1"}, "decode_responses must not be set"),
    ({"backend": "redis://a?timeout=1"}, "setting in a Redis URL must be .*; got 'timeout'"),
    ({"backend": "redis://a?max_connection="}, "setting .* must be .*; got 'max_connection'"),
    ({"backend": "redis://a?ssl_certfile=x"}, "setting .* must be .*; got 'ssl_certfile'"),
    (
        {"backend": "rediss://a?ssl_cert_reqs=maybe"},
        "ssl_cert_reqs .* must be one of required, optional, none; got 'maybe'",
    ),
    (
        {"backend": "rediss://a?ssl_ca_certs=/absent.pem"},
        "ssl_ca_certs .* must be the path of a readable file; got '/absent.pem'",
    ),
    (
        {"backend": "rediss+cluster://a?ssl_keyfile=/absent.pem"},
        "ssl_keyfile .* must be the path of a readable file; got '/absent.pem'",
    ),
    ({"backend": "redis://a?sentinel_password=x"}, "must be .*; got 'sentinel_password'"),
    (
        {"backend": "rediss+sentinel://a/s?sentinel_ssl=maybe"},
        "sentinel_ssl .* must be true or false; got 'maybe'",
    ),
    (
        {"backend": "redis+sentinel://a/s?sentinel_ssl=true"},
        r"sentinel_ssl needs the scheme rediss\+sentinel://",
    ),
    ({"backend": "redis+cluster://a?b=1"}, "setting in a Redis URL must be .*; got 'b'"),
    ({"backend": "redis+sentinel://a/s?b=1"}, "setting in a Redis URL must be .*; got 'b'"),
    ({"redis_url": "unix:///a?b=1"}, "setting in a Redis URL must be .*; got 'b'"),
    ({"backend": "redis://a?max_connections=0"}, "max_connections .* must be at least 1; got 0"),
    ({"backend": "redis://a/main"}, "the database of a Redis URL must be a number"),
    ({"backend": "redis+sentinel://a/s/main"}, "the database of a Redis URL must be a number"),
    (
        {"backend": "redis://a", "max_bytes": 9},
        "max_bytes must not be given with the Redis store; it bounds the file store and",
    ),
    ({"backend": "file://relative/path"}, "must be the URL of an absolute local path, such as"),
    ({"backend": "file://"}, "absolute local path, such as file:///absolute/path; got 'file://'"),
    ({"backend": "file:///a%00b"}, r"directory must be .* without null characters; got '/a.x00b'"),
    ({"backend": "file:///a?b"}, "without query and fragment; got 'file:///a.b'; pass settings as"),
    ({"backend": "file:///a#b"}, "without query and fragment; got 'file:///a#b'; pass settings as"),
    (
        {"backend": "memory://?max_entries=5"},
        "backend must be 'memory' or 'memory://'; got 'memory://.max_entries=5'; pass settings as",
    ),
    ({"backend": "null://x"}, "backend must be 'null' or 'null://'; got 'null://x'; pass settings"),
    ({"directory": 7}, "directory must be a str or a path object; got int: 7"),
    ({"directory": b"cache"}, "directory must be a str or a path object; got bytes: b'cache'"),
    ({"directory": ""}, "directory must be a non-empty str without null characters; got ''"),
    ({"directory": "a\0b"}, "directory must be a non-empty str without null characters"),
    (
        {"backend": "memory", "directory": "x"},
        "directory must not be given with the memory store; got 'x'",
    ),
    ({"backend": "null", "directory": "x"}, "must not be given with the null store"),
    ({"backend": "file:///x", "directory": "x"}, "must not be given with a file URL"),
    ({"backend": MemoryBackend(), "directory": "x"}, "must not be given with a backend object"),
    ({"max_bytes": 10, "backend": "null"}, "max_bytes must not be given with the null store"),
    ({"max_bytes": 10, "backend": MemoryBackend()}, "must not be given with a backend object"),
    (
        {"max_entries": 9, "eviction": "lirs"},
        "eviction of a bounded file store must be one of 'adaptive', .*; got 'lirs', .* in memory",
    ),
    ({"max_entries": 0}, "max_entries must be an int of at least 1, or None .*; got int: 0"),
    ({"max_entries": True}, "max_entries must be an int of at least 1, .*; got bool: True"),
    ({"max_entries": 1.5}, "max_entries must be an int of at least 1, .*; got float: 1.5"),
    ({"max_bytes": -1}, "max_bytes must be an int of at least 1, or None .*; got int: -1"),
    ({"memory_max_bytes": -1}, "memory_max_bytes must be an int of at least 0; got int: -1"),
    ({"memory_max_bytes": None}, "memory_max_bytes must be an int of at least 0; got NoneType"),
    ({"memory_max_bytes": "1M"}, "memory_max_bytes must be an int of at least 0; got str: '1M'"),
    (
        {"eviction": "random"},
        "eviction must be one of 'adaptive', 'fifo', 'lfu', 'lirs', 'lru', .*; got 'random'",
    ),
    ({"eviction": ["lru"]}, r"eviction must be one of .*; got \['lru'\]"),
    ({"compression": "brotli"}, "brotli.*(zstd.*gzip|gzip.*zstd)|(zstd.*gzip|gzip.*zstd).*brotli"),
    ({"compression": 9}, "9"),
    ({"secret": 7}, "secret must be bytes, str or None; got int"),
    ({"secret": ""}, "secret must not be empty"),
    ({"secret": b""}, "secret must not be empty"),
    ({"secret": 0}, "secret must be bytes, str or None; got int"),
    ({"fallback": "memory"}, "fallback must be 'file' or None; got 'memory'"),
    ({"clock": 7}, r"clock must have the methods time\(\) and monotonic\(\); got int: 7"),
]


@pytest.mark.parametrize(("settings", "message"), INVALID_SETTINGS, ids=str)
def test_an_invalid_setting_raises(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        CacheManager(**settings)


def test_no_error_contains_a_password() -> None:
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
def test_namespace_and_ttl_are_checked(settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        CacheManager("memory", **settings)


@pytest.mark.parametrize(
    ("settings", "store"),
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
def test_names_urls_and_paths_select_a_store(
    settings: dict[str, Any], store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    store = store.format(cwd=tmp_path)
    assert repr(CacheManager(**settings)) == f"CacheManager({store}, namespace='default')"
    assert list(tmp_path.iterdir()) == []  # files are created on first use


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
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
def test_the_environment_gives_the_default_of_an_argument(
    variable: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOCACHE_PE_DIRECTORY", "/d")
    monkeypatch.setenv("REDIS_URL", "redis://h")
    monkeypatch.setenv(f"AIOCACHE_PE_{variable}", value)
    assert repr(CacheManager()) == expected


def test_arguments_take_precedence_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOCACHE_PE_BACKEND", "null")
    monkeypatch.setenv("AIOCACHE_PE_NAMESPACE", "other")
    monkeypatch.setenv("AIOCACHE_PE_DIRECTORY", "/d")
    cache = CacheManager("file", directory="/x", namespace="mine")
    assert repr(cache) == "CacheManager(FileBackend('/x'), namespace='mine')"


def test_an_invalid_environment_variable_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOCACHE_PE_DISABLE", "maybe")
    message = "AIOCACHE_PE_DISABLE must be one of '1', 'true', .* '0', .*; got 'maybe'"
    with pytest.raises(ConfigurationError, match=message):
        CacheManager()


def test_disabling_also_replaces_a_given_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOCACHE_PE_DISABLE", "1")
    assert "NullBackend" in repr(CacheManager(MemoryBackend()))


async def test_the_secret_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, cache_dir: Path
) -> None:
    monkeypatch.setenv("AIOCACHE_PE_SECRET", "of the environment")
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set("k", Unregistered())
    monkeypatch.setenv("AIOCACHE_PE_SECRET", "another")
    async with CacheManager(directory=cache_dir) as cache:
        assert await cache.get("k", "not trusted") == "not trusted"
    assert not (cache_dir / ".secret").exists()


async def test_pickle_needs_a_secret() -> None:
    async with CacheManager(SecretlessBackend()) as cache:
        with pytest.raises(SecretRequiredError, match="pass secret= to the manager or set"):
            await cache.set("k", Unregistered())
        assert not await cache.exists("k")


@pytest.mark.usefixtures("third_party")
async def test_a_registered_scheme_selects_the_store_of_a_third_party() -> None:
    async with CacheManager("example://host/1") as cache:
        assert "Store('example://host/1')" in repr(cache)
        await cache.set("k", 1)
        assert await cache.get("k") == 1
    with pytest.raises(ConfigurationError, match="must not be given with the example store"):
        CacheManager("example://", max_entries=1)
    with pytest.raises(ConfigurationError, match="; got object without 'read'"):
        CacheManager("broken://")


class Unregistered:
    """A class that only pickle can store."""


@pytest.mark.parametrize(
    ("settings", "bound"),
    [
        ({}, "of at most 5,368,709,120 bytes"),
        ({"max_entries": 9}, "of at most 5,368,709,120 bytes"),
        ({"eviction": "lirs"}, "of at most 5,368,709,120 bytes"),  # for the memory tier
        ({"max_bytes": 10**9}, "of at most 1,000,000,000 bytes"),
        ({"max_bytes": None}, "no bound"),
    ],
)
@pytest.mark.parametrize("is_url", [False, True])
async def test_files_have_a_bound_of_5_gib_that_can_be_lifted(
    is_url: bool, settings: dict[str, Any], bound: str, cache_dir: Path
) -> None:
    place: dict[str, Any] = {"directory": cache_dir}
    if is_url:
        place = {"backend": f"file://{cache_dir}"}
    async with CacheManager(**place, **settings) as cache:
        await cache.set("k", 1)
        checks = await cache.loader.namespace.examine()
    assert [bound in check.detail for check in checks if check.name == "size"] == [True]


def test_the_file_of_an_old_cache_manager_is_reported_once(
    cache_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache_dir.mkdir()
    CacheManager(directory=cache_dir)
    assert caplog.messages == []
    (cache_dir / "cache.json").write_text("{}")
    for _ in range(2):
        CacheManager(directory=cache_dir)
    [message] = caplog.messages
    command = f"aiocache-pe --directory {cache_dir} import --format legacy-json {cache_dir}/cache."
    assert command in message
