"""The pipeline uses the first exact serializer, and undoes stages in reverse order."""

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
    """Object that only pickle can hold."""

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
def test_the_most_readable_exact_codec_is_used(value: Any, codec: str) -> None:
    assert Pipeline(secret=SECRET).encode(KEY, value)[0] == codec


def test_bytes_are_stored_unchanged() -> None:
    assert Pipeline().encode(KEY, b"\x00\xff") == ("bytes", b"\x00\xff")


@pytest.mark.parametrize("name", ["zstd", "gzip"])
@pytest.mark.parametrize(
    "value", [LONG, (LONG,), b"x" * 5000, np.zeros(1000), Custom(LONG)], ids=type
)
def test_large_values_are_compressed_and_restored(name: str, value: Any) -> None:
    codec, payload = Pipeline(secret=SECRET, compression=name).encode(KEY, value)
    assert f"+{name}" in codec
    assert len(payload) < 500
    restored = Pipeline(secret=SECRET).decode(KEY, codec, payload)
    if isinstance(value, Custom):
        assert restored.x == value.x
    else:
        assert_round_trip(value)
        assert type(restored) is type(value)


def test_small_and_incompressible_values_are_not_compressed() -> None:
    packed = zlib.compress(bytes(range(256)) * 100)
    for name in ("zstd", "gzip"):
        pipeline = Pipeline(compression=name)
        assert pipeline.encode(KEY, "a" * (THRESHOLD - 3))[0] == "json"
        assert pipeline.encode(KEY, "a" * (THRESHOLD - 2))[0] == f"json+{name}"
        assert pipeline.encode(KEY, np.random.default_rng(0).bytes(5000))[0] == "bytes"
        assert pipeline.encode(KEY, packed)[0] == "bytes"


def test_values_too_large_to_be_decompressed_are_not_compressed() -> None:
    pipeline = Pipeline(compression="gzip", max_bytes=5000)
    assert pipeline.encode(KEY, b"x" * 5000)[0] == "bytes+gzip"
    codec, payload = pipeline.encode(KEY, b"x" * 5001)
    assert codec == "bytes"
    assert pipeline.decode(KEY, codec, payload) == b"x" * 5001


@pytest.mark.parametrize("name", ["zstd", "gzip"])
@pytest.mark.parametrize("size", [THRESHOLD, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 9 * MIB])
def test_a_payload_of_many_chunks_is_decompressed(name: str, size: int) -> None:
    stage = Compression(name, max_bytes=9 * MIB)
    payload = (b"0123456789" * 10 + bytes(range(256))) * (size // 356 + 1)
    packed = stage.compress(payload[:size])
    assert packed is not None
    assert stage.decompress(KEY, packed) == payload[:size]
    if size > THRESHOLD:
        with pytest.raises(CorruptRecordError, match=f"exceeds {size - 1} bytes"):
            Compression(name, max_bytes=size - 1).decompress(KEY, packed)


@pytest.mark.parametrize("name", ["zstd", "gzip"])
def test_equal_values_are_compressed_to_equal_bytes(name: str) -> None:
    packed = {Pipeline(compression=name).encode(KEY, LONG) for _ in range(3)}
    assert len(packed) == 1


def test_the_codec_names_the_stages_in_their_order() -> None:
    codec, payload = Pipeline(secret=SECRET, compression="zstd").encode(KEY, Custom(LONG))
    assert codec == "pickle+zstd+hmac"
    packed = Signature(SECRET).verify(KEY, "pickle+zstd", payload)
    assert Compression("zstd", max_bytes=10**6).decompress(KEY, packed).startswith(b"\x80\x05")


def test_verification_comes_before_decompression(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, payload = Pipeline(secret=SECRET, compression="gzip").encode(KEY, Custom(LONG))

    def fail(*_: Any) -> bytes:
        raise AssertionError("decompressed before it was verified")

    monkeypatch.setattr(Compression, "decompress", fail)
    with pytest.raises(CorruptRecordError, match="signature"):
        Pipeline(secret=b"another").decode(KEY, codec, payload)


def test_without_a_secret_the_error_says_how_to_allow_pickle() -> None:
    with pytest.raises(
        SecretRequiredError, match=r"test_pipeline\.Custom.*secret=.*AIOCACHE_PE_SECRET"
    ):
        Pipeline().encode(KEY, {"a": [Custom(1)]})


def test_a_value_that_pickle_cannot_hold_is_refused_with_any_secret() -> None:
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
def test_a_value_that_pickle_would_not_restore_is_refused(value: Any) -> None:
    with pytest.raises(SerializationError, match="pickle"):
        Pipeline(secret=SECRET).encode(KEY, value)


def test_a_value_that_contains_itself_needs_a_secret() -> None:
    cycle: list[Any] = [1]
    cycle.append(cycle)
    with pytest.raises(SerializationError, match="it contains itself or is nested"):
        Pipeline().encode(KEY, cycle)
    restored = round_trip(cycle, secret=SECRET)
    assert restored[1] is restored


def test_a_value_that_is_too_deep_for_pickle_is_refused() -> None:
    deep: Any = ()
    for _ in range(100_000):
        deep = [deep]
    for secret in (None, SECRET):
        with pytest.raises(SerializationError):
            Pipeline(secret=secret).encode(KEY, deep)


def test_a_signed_record_can_be_read_once_the_secret_is_known() -> None:
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


def test_a_signature_is_not_valid_for_another_key_or_codec() -> None:
    writer = Pipeline(secret=SECRET)
    codec, payload = writer.encode(KEY, Custom(1))
    for key, other in ((KEY + "2", codec), (KEY, "pickle+gzip+hmac"), ("", codec)):
        with pytest.raises(CorruptRecordError, match="signature does not match"):
            writer.decode(key, other, payload)


def test_neither_repr_nor_errors_contain_the_secret() -> None:
    pipeline = Pipeline(secret="hunter2-hunter2")
    assert "hunter2" not in repr(pipeline)
    assert "known" in repr(pipeline)
    assert "hunter2" not in repr(Signature("hunter2-hunter2"))
    with pytest.raises(ConfigurationError) as caught:
        pipeline.use_secret(["hunter2"])  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [{"compression": "lzma"}, {"compression": ""}, {"secret": ""}, {"secret": b""}, {"secret": 5},
     {"max_bytes": 0}, {"max_bytes": 1.5}, {"max_bytes": True}],
    ids=repr,
)  # fmt: skip
def test_an_error_about_a_setting_says_which_values_are_accepted(settings: Any) -> None:
    with pytest.raises(ConfigurationError, match="must"):
        Pipeline(**settings)


def test_the_error_about_missing_zstd_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, payload = Pipeline(compression="zstd").encode(KEY, LONG)

    def fail_to_import(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(compression, "import_module", fail_to_import)
    with pytest.raises(MissingDependencyError, match=r"aiocache_pe\[zstd\]") as caught:
        Pipeline(compression="zstd")
    assert caught.value.extra == "zstd"
    with pytest.raises(CorruptRecordError, match=r"aiocache_pe\[zstd\]"):
        Pipeline().decode(KEY, codec, payload)


def test_each_read_returns_a_new_object() -> None:
    reader = Pipeline()
    codec, payload = reader.encode(KEY, {"a": [1, (2, [3])]})
    reader.decode(KEY, codec, payload)["a"].append(9)
    assert reader.decode(KEY, codec, payload) == {"a": [1, (2, [3])]}


def test_plain_and_tagged_values_import_no_large_modules() -> None:
    program = """
import sys
from aiocache_pe.codecs.pipeline import Pipeline
p = Pipeline(compression="gzip")
assert p.decode("k", *p.encode("k", {"a": [1] * 5000})) == {"a": [1] * 5000}
assert p.decode("k", *p.encode("k", (1, {2}))) == (1, {2})
large = "numpy pydantic pydantic_core fractions zoneinfo pickle backports.zstd compression.zstd"
print([name for name in large.split() if name in sys.modules])
"""
    result = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=True,
    )
    assert result.stdout.strip() == b"[]"
