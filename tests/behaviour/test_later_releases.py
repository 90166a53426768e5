"""Records of a later release: a miss that no read, clean-up or dependent change removes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from redis import Redis

from aiocache_pe import BackendError, CacheManager, NewerRecordError
from aiocache_pe.backends import newer_records
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.redis.key_names import make_entry_name
from aiocache_pe.codecs.pipeline import Pipeline
from aiocache_pe.record import CODECS, Head, pack_head, unpack, unpack_head
from tests.support.hostile import make_record
from tests.support.servers.redis_server import Server

LATER: dict[str, bytes] = {
    "version": make_record("default:k").replace(b'"v":1', b'"v":2'),
    "format": b'{"v":12,"key":"default:k","digest":"blake3:00"}\n\0\1\2',
    "one line": b'{"v":2}',
    "codec": make_record("default:k", "msgpack", b"\x01"),
    "compression": make_record("default:k", "json+brotli", b"\x01"),
    "field": make_record("default:k", extra=b',"region":"eu"'),
    "field of the savings": make_record("default:k", extra=b',"saves":{"watts":1}'),
}
"""Records of the key ``k`` that only a later release can read."""

DAMAGED: dict[str, bytes] = {
    "a field without its checksum": LATER["field"].replace(b"region", b"regiom"),
    "a codec without its checksum": LATER["codec"].replace(b"msgpack", b"msgpacl"),
    "an earlier version": make_record("default:k").replace(b'"v":1', b'"v":0'),
    "a field and no size": make_record("default:k", extra=b',"size":"x","region":"eu"'),
}
"""Damaged records that look similar."""


class Store(NamedTuple):
    """A cache, and its record of the key ``k`` as bytes."""

    cache: CacheManager
    put: Callable[[bytes], object]
    get: Callable[[], bytes | None]


def open_files(directory: Path) -> tuple[Callable[[bytes], object], Callable[[], bytes | None]]:
    path = Path(Layout(str(directory)).get_path("default:k"))

    def put(blob: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob)

    return put, lambda: path.read_bytes() if path.exists() else None


@pytest.fixture(params=["file", "file without tier", "redis", "redis without tier", "fallback"])
async def store(
    request: pytest.FixtureRequest, cache_dir: Path, redis_server: Server
) -> AsyncIterator[Store]:
    kind, _, without = request.param.partition(" ")
    tier: dict[str, Any] = {"memory_max_bytes": 0} if without else {}
    if kind == "file":
        async with CacheManager(directory=cache_dir, **tier) as cache:
            yield Store(cache, *open_files(cache_dir))
        return
    fallback: Literal["file"] | None = "file" if kind == "fallback" else None
    settings: dict[str, Any] = {
        "redis_url": redis_server.url,
        "directory": cache_dir,
        "fallback": fallback,
    }
    with Redis.from_url(redis_server.url) as admin:
        admin.flushall()
        name = make_entry_name("default:k")
        async with CacheManager("redis", **settings, **tier) as cache:
            get: Any = lambda: admin.get(name)  # noqa: E731 - a type of redis-py says too much
            yield Store(cache, lambda blob: admin.set(name, blob), get)
        admin.flushall()


@pytest.mark.parametrize("name", LATER)
async def test_no_operation_that_depends_on_a_later_record_changes_it(
    store: Store, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache, blob = store.cache, LATER[name]
    store.put(blob)
    for _ in range(2):
        assert await cache.get("k") is None
        assert await cache.get_many(["k", "other"]) == {}
        assert not await cache.exists("k")
        assert await cache.entry("k") is None
        assert await cache.get_ttl("k") is None
        assert await cache.pop("k") is None
        assert not await cache.add("k", "mine")
        assert not await cache.touch("k", 60)
        with pytest.raises(BackendError, match="a later release wrote it"):
            await cache.incr("k")
        assert await cache.get_or_set("k", lambda: "computed") == "computed"
        listed = cache.keys()
        assert [key async for key in listed] == []
        assert await cache.cleanup_expired() == 0
    assert store.get() == blob
    lines = [line for line in caplog.messages if "of a later release" in line]
    assert len(lines) == 1
    assert (await cache.get_stats()).errors > 0


@pytest.mark.parametrize("name", LATER)
@pytest.mark.parametrize("operation", ["delete", "delete_many", "invalidate", "clear", "set"])
async def test_a_change_of_the_user_takes_effect_on_a_later_record(
    store: Store, name: str, operation: str, caplog: pytest.LogCaptureFixture
) -> None:
    changes: dict[str, Callable[[CacheManager], Any]] = {
        "delete": lambda cache: cache.delete("k"),
        "delete_many": lambda cache: cache.delete_many(["k"]),
        "invalidate": lambda cache: cache.invalidate("k*"),
        "clear": lambda cache: cache.clear(),
        "set": lambda cache: cache.set("k", "new"),
    }
    store.put(LATER[name])
    await changes[operation](store.cache)
    if operation == "set":
        assert await store.cache.get("k") == "new"
    else:
        assert store.get() is None
    assert not any("fails" in line for line in caplog.messages)


async def test_a_replaced_later_record_is_logged_once_for_each_namespace(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(newer_records, "reported", set())
    for _ in range(2):
        store.put(LATER["version"])
        assert await store.cache.set("k", "new")
    [line] = [line for line in caplog.messages if "a set replaces a record" in line]
    assert "namespace 'default'" in line
    assert "format version 2" in line


async def test_computed_values_beside_a_later_record_are_stored(store: Store) -> None:
    store.put(LATER["version"])

    found = await store.cache.get_or_set("k", lambda: "computed")
    assert (found, await store.cache.get_or_set("other", lambda: 1)) == ("computed", 1)
    assert await store.cache.get("other") == 1


async def test_a_computed_value_replaces_an_entry_with_tags_and_one_with_a_long_head(
    store: Store,
) -> None:
    """The head of such an entry looks unknown to a script, and is read by the process."""
    tags = [f"tag{n}" for n in range(60)]
    for value in ("old", "new"):
        assert await store.cache.set("tagged", value, tags=["region"])
        assert await store.cache.set("long", value, tags=tags)

        async def compute(value: str = value) -> str:
            return value + "!"

        for key in ("tagged", "long"):
            found = await store.cache.get_or_set(key, compute, tags=["region"])
            assert found == value


async def test_a_long_key_of_a_later_record_is_invalidated(cache_dir: Path) -> None:
    key = "long" * 100
    path = Path(Layout(str(cache_dir)).get_path(f"default:{key}"))
    path.parent.mkdir(parents=True)
    path.write_bytes(make_record(f"default:{key}").replace(b'"v":1', b'"v":2'))
    async with CacheManager(directory=cache_dir) as cache:
        await cache.invalidate("short*")
        assert path.exists()
        await cache.invalidate("long*")
        assert not path.exists()


@pytest.mark.parametrize("name", LATER)
def test_a_later_record_is_no_damaged_record(name: str) -> None:
    with pytest.raises(NewerRecordError, match="a later release wrote it") as caught:
        unpack(LATER[name], key="default:k")
    assert caught.value.key == "default:k"
    line = LATER[name].partition(b"\n")[0]
    with pytest.raises(NewerRecordError):
        unpack_head(line)


@pytest.mark.parametrize("name", DAMAGED)
async def test_a_damaged_record_is_no_later_record(store: Store, name: str) -> None:
    store.put(DAMAGED[name])
    assert await store.cache.get("k") is None
    assert store.get() is None


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_each_codec_of_this_release_is_known(codec: str) -> None:
    head = Head(1, "default:k", codec, 0.0, 1)
    assert unpack_head(pack_head(head, b"1")) == head


@pytest.mark.parametrize("value", [1, b"1", {1}, ["text " * 1000]])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_the_pipeline_writes_known_codecs(value: Any, compression: str | None) -> None:
    pipeline = Pipeline(compression=compression, secret="s")
    assert pipeline.encode("default:k", value)[0] in CODECS
