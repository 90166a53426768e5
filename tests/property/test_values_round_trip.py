"""Round trips of random values: every store and codec returns the stored value, or refuses it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiocache_pe import CacheManager
from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.codecs.immutable import is_immutable
from aiocache_pe.codecs.pipeline import Pipeline
from aiocache_pe.codecs.plain_json import PlainJson
from aiocache_pe.codecs.tagged_json import TaggedJson
from aiocache_pe.exceptions import (
    CorruptRecordError,
    SecretRequiredError,
    SerializationError,
)
from tests.support.exactness import KEY, SECRET, fingerprint
from tests.support.value_strategies import TAGS, any_values, values

plain_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    | st.integers(-(2**63), 2**64 - 1),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip
codecs = [
    serializer + compression + signature
    for serializer, compression, signature in itertools.product(
        ("json", "bytes", "numpy", "tagged", "pickle"), ("", "+gzip", "+zstd"), ("", "+hmac")
    )
]


STORES: dict[str, tuple[Callable[[Path, str], CacheManager], bool]] = {
    "memory": (lambda directory, url: CacheManager("memory"), False),
    "file": (lambda directory, url: CacheManager(directory=directory), True),
    "file, compressed, not in memory": (
        lambda directory, url: CacheManager(
            directory=directory, memory_max_bytes=0, compression="gzip"
        ),
        True,
    ),
    "redis": (
        lambda directory, url: CacheManager(RedisBackend(url), secret=SECRET, memory_max_bytes=0),
        True,
    ),
}
"""For each store, a manager, and whether two managers share entries as two processes do."""


class Store:
    """A store with a loop of its own, for tests that are not async."""

    def __init__(self, kind: str, directory: Path, url: str) -> None:
        make, is_shared = STORES[kind]
        self.runner = asyncio.Runner()
        self.writer = make(directory, url)
        self.reader = make(directory, url) if is_shared else self.writer

    def store_and_read(self, value: Any) -> list[Any]:
        """Store a value, and return two reads of the writer and two of another manager."""

        async def run() -> list[Any]:
            assert await self.writer.set("k", value)
            managers = (self.writer, self.writer, self.reader, self.reader)
            return [await cache.get("k", "a miss") for cache in managers]

        return self.runner.run(run())

    def close(self) -> None:
        self.runner.run(self.writer.close())
        self.runner.run(self.reader.close())
        self.runner.close()


@pytest.fixture(scope="module")
def stores(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Store]]:
    url = request.getfixturevalue("redis_server").url
    stores = {kind: Store(kind, tmp_path_factory.mktemp("values"), url) for kind in STORES}
    yield stores
    for store in stores.values():
        store.close()


@pytest.mark.timeout(3600)  # 20,000 examples in the stress profile
@given(value=any_values)
def test_a_hit_returns_the_stored_value_in_every_store(
    stores: dict[str, Store], value: Any
) -> None:
    """All stores share each value, because drawing a value costs more than storing it."""
    before = fingerprint(value)
    for kind, store in stores.items():
        try:
            found = store.store_and_read(value)
        except SerializationError:  # pickle would change it, and no other codec can store it
            assert TaggedJson().encode(value) is None, kind
        else:
            assert [fingerprint(each) for each in found] == [before] * 4, kind
    assert fingerprint(value) == before


@given(values, st.sampled_from([None, "gzip", "zstd"]))
def test_a_value_is_decoded_unchanged_without_pickle(value: Any, compression: str | None) -> None:
    before = fingerprint(value)
    codec, payload = Pipeline(compression=compression).encode(KEY, value)
    assert fingerprint(value) == before
    assert fingerprint(Pipeline().decode(KEY, codec, payload)) == before


@given(values)
def test_encoding_a_value_twice_gives_equal_bytes(value: Any) -> None:
    writer = Pipeline(secret=SECRET)
    assert writer.encode(KEY, value) == writer.encode(KEY, value)


@given(plain_values)
def test_a_value_that_json_can_represent_exactly_is_encoded_as_plain_json(value: Any) -> None:
    codec, payload = Pipeline().encode(KEY, value)
    assert codec == "json"
    assert fingerprint(Pipeline().decode(KEY, codec, payload)) == fingerprint(value)


@given(values)
def test_plain_json_never_changes_a_value(value: Any) -> None:
    payload = PlainJson().encode(value)
    if payload is not None:
        assert fingerprint(PlainJson().decode(payload)) == fingerprint(value)


@given(values)
def test_an_immutable_value_can_be_hashed(value: Any) -> None:
    if is_immutable(value) and "sNaN" not in repr(value):  # the one number without a hash
        hash(value)


@given(st.sampled_from(codecs), st.binary(max_size=200), st.sampled_from([None, SECRET]))
def test_random_bytes_are_decoded_or_refused(codec: str, payload: bytes, secret: Any) -> None:
    try:
        Pipeline(secret=secret, max_bytes=100_000).decode(KEY, codec, payload)
    except CorruptRecordError:
        pass
    except SecretRequiredError:
        assert secret is None


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.builds(lambda tag, node: {tag: node}, st.sampled_from(TAGS), inner)
    ),
)


@given(json_data)
def test_random_tags_are_decoded_or_refused(data: Any) -> None:
    with suppress(CorruptRecordError):
        TaggedJson().decode(msgspec.json.encode(data))
