"""Instrumentation: chosen by arguments or by the environment, and refused with a remedy."""

from __future__ import annotations

import gc
import logging
import sys
import weakref
from typing import Any

import pytest

from aiocache_pe import (
    CacheManager,
    ConfigurationError,
    MissingDependencyError,
    instrument,
    sync,
)
from aiocache_pe.metrics.instrument import VARIABLE


@pytest.mark.parametrize(
    ("options", "package", "extra"),
    [
        ({"prometheus": True}, "prometheus_client", "prometheus"),
        ({"opentelemetry": True}, "opentelemetry", "opentelemetry"),
        ({"logs": "structlog"}, "structlog", "structlog"),
    ],
)
def test_a_missing_package_is_reported_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"aiocache_pe.metrics.{extra}", raising=False)
    with pytest.raises(MissingDependencyError) as caught:
        instrument(sync.CacheManager("memory"), **options)
    assert f'pip install "aiocache_pe[{extra}]"' in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "instrument needs a sink"),
        ({"logs": "json"}, "logs must be True, False or"),
        ({"logs": True, "max_namespaces": 0}, "max_namespaces must be an int of 1 or more; got 0"),
    ],
)
def test_invalid_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        instrument(sync.CacheManager("memory"), **options)


def test_a_function_is_no_cache() -> None:
    with pytest.raises(TypeError, match="cache must be a CacheManager; got function"):
        instrument(test_a_function_is_no_cache, logs=True)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - must raise


def test_a_failed_sink_leaves_no_other_one_behind(caplog: pytest.LogCaptureFixture) -> None:
    cache = sync.CacheManager("memory")
    with pytest.raises(ConfigurationError):
        instrument(cache, logs=True, statsd="nonsense:port")
    with caplog.at_level(logging.INFO, "aiocache_pe"):
        cache.get("k")
    assert caplog.records == []


async def test_the_environment_instruments_all_caches(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, "logs, statsd=127.0.0.1:9")
    with caplog.at_level(logging.INFO, "aiocache_pe"):
        for number in range(2):
            async with CacheManager("memory", namespace=f"n{number}") as cache:
                await cache.namespace(f"view{number}").get("k")
    names = [vars(record)["cache_namespace"] for record in caplog.records]
    assert names == ["view0", "view1"]


@pytest.mark.parametrize("word", ["prometeus", "statsd", "statsd="])
def test_an_unknown_word_of_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setenv(VARIABLE, f"logs,{word}")
    with pytest.raises(ConfigurationError, match=f"{VARIABLE} must be a list of .*got '{word}'"):
        CacheManager("memory")


def test_an_instrumented_cache_can_be_garbage_collected() -> None:
    cache = sync.CacheManager("memory")
    instrument(cache, logs=True)
    reference = weakref.ref(cache.asynchronous)
    del cache
    gc.collect()
    assert reference() is None


def test_the_number_of_namespaces_is_bounded() -> None:
    client = pytest.importorskip("prometheus_client")
    registry = client.CollectorRegistry()
    cache = sync.CacheManager("memory")
    with instrument(cache, prometheus=registry, max_namespaces=3):
        for number in range(10):
            sync.CacheManager.of(cache.asynchronous.namespace(f"n{number}")).get("k")
        families = {family.name: family for family in registry.collect()}
    samples = [sample for sample in families["cache_gets"].samples if sample.name.endswith("total")]
    counts = {sample.labels["namespace"]: sample.value for sample in samples}
    assert counts == {"n0": 1, "n1": 1, "n2": 1, "(other)": 7}
