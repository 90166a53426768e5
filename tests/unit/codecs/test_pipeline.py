"""The right serializer is chosen, and stages are undone in the right order."""

from __future__ import annotations

import subprocess
import sys
import threading
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from aiocache_pe.codecs import compression
from aiocache_pe.codecs.compression import THRESHOLD, Compression
from aiocache_pe.codecs.pipeline import Pipeline
from aiocache_pe.codecs.signing import Signature
from aiocache_pe.exceptions import (
    ConfigurationError,
    CorruptRecordError,
    MissingDependencyError,
    SecretRequiredError,
    SerializationError,
)
from tests.support.exactness import KEY, SECRET, assert_round_trip, round_trip

MIB = 1024 * 1024
LONG = ["again and again"] * 1000


class Custom:
    """Something only pickle can hold."""

    def __init__(self, x: Any) -> None:
        self.x = x


@pytest.mark.parametrize(
    ("value", "codec"),
    [
        ({"a": 1}, "json"), ((1,), "tagged"), (b"raw", "bytes"), (np.zeros(2), "numpy"),
        (Custom(1), "pickle+hmac"), (bytearray(b"x"), "tagged"), (np.float64(1), "tagged"),
    ],
    ids=lambda value: str(type(value).__name__),
)  # fmt: skip
def test_the_most_readable_codec_is_taken(value: Any, codec: str) -> None:
    assert Pipeline(secret=SECRET).encode(KEY, value)[0] == codec


def test_bytes_are_stored_as_they_are() -> None:
    assert Pipeline().encode(KEY, b"\x00\xff") == ("bytes", b"\x00\xff")


@pytest.mark.parametrize("name", ["zstd", "gzip"])
@pytest.mark.parametrize(
    "value", [LONG, (LONG,), b"x" * 5000, np.zeros(1000), Custom(LONG)], ids=type
)
def test_large_values_are_compressed_and_come_back(name: str, value: Any) -> None:
    codec, payload = Pipeline(secret=SECRET, compression=name).encode(KEY, value)
    assert f"+{name}" in codec
    assert len(payload) < 500
    back = Pipeline(secret=SECRET).decode(KEY, codec, payload)
    if isinstance(value, Custom):
        assert back.x == value.x
    else:
        assert_round_trip(value)
        assert type(back) is type(value)


def test_small_values_and_those_that_do_not_shrink_stay_as_they_are() -> None:
    packed = zlib.compress(bytes(range(256)) * 100)
    for name in ("zstd", "gzip"):
        with_it = Pipeline(compression=name)
        assert with_it.encode(KEY, "a" * (THRESHOLD - 3))[0] == "json"
        assert with_it.encode(KEY, "a" * (THRESHOLD - 2))[0] == f"json+{name}"
        assert with_it.encode(KEY, np.random.default_rng(0).bytes(5000))[0] == "bytes"
        assert with_it.encode(KEY, packed)[0] == "bytes"


def test_values_too_large_to_be_decompressed_are_not_compressed() -> None:
    small = Pipeline(compression="gzip", max_bytes=5000)
    assert small.encode(KEY, b"x" * 5000)[0] == "bytes+gzip"
    codec, payload = small.encode(KEY, b"x" * 5001)
    assert codec == "bytes"
    assert small.decode(KEY, codec, payload) == b"x" * 5001


@pytest.mark.parametrize("name", ["zstd", "gzip"])
@pytest.mark.parametrize("size", [THRESHOLD, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 9 * MIB])
def test_what_is_decompressed_in_pieces_comes_back_whole(name: str, size: int) -> None:
    packing = Compression(name, max_bytes=9 * MIB)
    payload = (b"0123456789" * 10 + bytes(range(256))) * (size // 356 + 1)
    packed = packing.apply(KEY, "bytes", payload[:size])
    assert packed is not None
    assert packing.undo(KEY, "bytes", packed) == payload[:size]
    if size > THRESHOLD:
        with pytest.raises(CorruptRecordError, match=f"exceeds {size - 1} bytes"):
            Compression(name, max_bytes=size - 1).undo(KEY, "bytes", packed)


@pytest.mark.parametrize("name", ["zstd", "gzip"])
def test_equal_values_are_compressed_to_equal_bytes(name: str) -> None:
    packed = {Pipeline(compression=name).encode(KEY, LONG) for _ in range(3)}
    assert len(packed) == 1


def test_the_order_in_the_name_is_the_order_of_the_stages() -> None:
    codec, payload = Pipeline(secret=SECRET, compression="zstd").encode(KEY, Custom(LONG))
    assert codec == "pickle+zstd+hmac"
    packed = Signature(SECRET).undo(KEY, "pickle+zstd", payload)
    assert Compression("zstd", max_bytes=10**6).undo(KEY, "pickle", packed).startswith(b"\x80\x05")


def test_verification_comes_before_decompression(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, payload = Pipeline(secret=SECRET, compression="gzip").encode(KEY, Custom(LONG))

    def never(*_: Any) -> bytes:
        raise AssertionError("decompressed before it was verified")

    monkeypatch.setattr(Compression, "undo", never)
    with pytest.raises(CorruptRecordError, match="signature"):
        Pipeline(secret=b"another").decode(KEY, codec, payload)


def test_without_a_secret_pickle_is_refused_and_the_error_says_how_to_allow_it() -> None:
    with pytest.raises(
        SecretRequiredError, match=r"test_pipeline\.Custom.*secret=.*AIOCACHE_PE_SECRET"
    ):
        Pipeline().encode(KEY, {"a": [Custom(1)]})


def test_what_not_even_pickle_can_hold_is_refused_whatever_the_secret() -> None:
    @dataclass
    class Local:
        x: int

    for value in (threading.Lock(), lambda: 1, [Local(1)], iter(lambda: 1, 2)):
        for secret in (None, SECRET):
            with pytest.raises(SerializationError, match="pickle cannot hold") as caught:
                Pipeline(secret=secret).encode(KEY, value)
            assert not isinstance(caught.value, SecretRequiredError)


class Forgetful:
    def __reduce__(self) -> Any:
        return (dict, ())


class Broken:
    def __setstate__(self, state: Any) -> None:
        raise ValueError("cannot be restored")

    def __getstate__(self) -> Any:
        return {"x": 1}


@pytest.mark.parametrize("value", [Forgetful(), Broken()], ids=type)
def test_what_pickle_would_not_give_back_is_refused_when_it_is_stored(value: Any) -> None:
    with pytest.raises(SerializationError, match="pickle"):
        Pipeline(secret=SECRET).encode(KEY, value)


def test_a_value_that_holds_itself_needs_a_secret() -> None:
    cycle: list[Any] = [1]
    cycle.append(cycle)
    with pytest.raises(SerializationError, match="it contains itself or is nested"):
        Pipeline().encode(KEY, cycle)
    back = round_trip(cycle, secret=SECRET)
    assert back[1] is back


def test_a_value_too_deep_even_for_pickle_is_refused() -> None:
    deep: Any = ()
    for _ in range(100_000):
        deep = [deep]
    for secret in (None, SECRET):
        with pytest.raises(SerializationError):
            Pipeline(secret=secret).encode(KEY, deep)


def test_a_signed_record_without_a_secret_asks_for_one_and_can_be_read_later() -> None:
    codec, payload = Pipeline(secret=SECRET).encode(KEY, Custom(1))
    reader = Pipeline()
    assert not reader.has_secret
    with pytest.raises(SecretRequiredError, match="no secret is known"):
        reader.decode(KEY, codec, payload)
    reader.use_secret(SECRET)
    assert reader.has_secret
    assert reader.decode(KEY, codec, payload).x == 1


def test_a_secret_may_be_text_or_bytes() -> None:
    codec, payload = Pipeline(secret="pässword").encode(KEY, Custom(1))
    assert Pipeline(secret="pässword".encode()).decode(KEY, codec, payload).x == 1


def test_a_signed_record_cannot_be_moved_to_another_key_or_codec() -> None:
    writer = Pipeline(secret=SECRET)
    codec, payload = writer.encode(KEY, Custom(1))
    for key, other in ((KEY + "2", codec), (KEY, "pickle+gzip+hmac"), ("", codec)):
        with pytest.raises(CorruptRecordError, match="signature does not match"):
            writer.decode(key, other, payload)


def test_the_secret_is_shown_nowhere() -> None:
    shown = Pipeline(secret="hunter2-hunter2")
    assert "hunter2" not in repr(shown)
    assert "known" in repr(shown)
    assert "hunter2" not in repr(Signature("hunter2-hunter2"))
    with pytest.raises(ConfigurationError) as caught:
        shown.use_secret(["hunter2"])  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [{"compression": "lzma"}, {"compression": ""}, {"secret": ""}, {"secret": b""}, {"secret": 5},
     {"max_bytes": 0}, {"max_bytes": 1.5}, {"max_bytes": True}],
    ids=repr,
)  # fmt: skip
def test_settings_that_cannot_work_say_what_is_accepted(settings: Any) -> None:
    with pytest.raises(ConfigurationError, match="must"):
        Pipeline(**settings)


def test_without_the_package_zstd_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, payload = Pipeline(compression="zstd").encode(KEY, LONG)

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(compression, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=r"aiocache_pe\[zstd\]") as caught:
        Pipeline(compression="zstd")
    assert caught.value.extra == "zstd"
    with pytest.raises(CorruptRecordError, match=r"aiocache_pe\[zstd\]"):
        Pipeline().decode(KEY, codec, payload)


def test_each_reader_gets_a_value_of_its_own() -> None:
    reader = Pipeline()
    codec, payload = reader.encode(KEY, {"a": [1, (2, [3])]})
    reader.decode(KEY, codec, payload)["a"].append(9)
    assert reader.decode(KEY, codec, payload) == {"a": [1, (2, [3])]}


def test_values_without_them_load_no_heavy_modules() -> None:
    program = """
import sys
from aiocache_pe.codecs.pipeline import Pipeline
p = Pipeline(compression="gzip")
assert p.decode("k", *p.encode("k", {"a": [1] * 5000})) == {"a": [1] * 5000}
assert p.decode("k", *p.encode("k", (1, {2}))) == (1, {2})
heavy = "numpy pydantic pydantic_core fractions zoneinfo pickle backports.zstd compression.zstd"
print([name for name in heavy.split() if name in sys.modules])
"""
    found = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=True,
    )
    assert found.stdout.strip() == b"[]"
