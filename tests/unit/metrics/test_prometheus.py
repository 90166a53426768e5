"""Prometheus: the numbers are those of `get_stats`, in one process and over several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, Instrumentation, instrument, sync
from aiocache_pe.metrics.base import METRICS

pytest.importorskip("prometheus_client")

import prometheus_client
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

WORKER = """
import os, signal, sys
from aiocache_pe import instrument, sync

cache = sync.CacheManager("file", directory=sys.argv[1])
instrument(cache, prometheus=True)
cache.get("absent")
cache.set(sys.argv[2], 1)
for _ in range(int(sys.argv[3])):
    cache.get(sys.argv[2])
if os.fork() == 0:
    for _ in range(4):
        cache.get(sys.argv[2])
    cache.close()
    os._exit(0)
os.wait()
cache.close()
os.kill(os.getpid(), signal.SIGKILL)
"""
SCRAPE = """
import prometheus_client
from prometheus_client import multiprocess
registry = prometheus_client.CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(prometheus_client.generate_latest(registry).decode())
"""
INTERRUPTED = """
import os, signal, threading
import prometheus_client
from aiocache_pe import instrument, sync

cache = sync.CacheManager("memory")
registry = prometheus_client.CollectorRegistry()
instrument(cache, prometheus=registry)
cache.set("k", 1)
calls = [0, 0, 0]

def get(number):
    calls[number] += 1
    cache.get("k")

def count():
    labels = {"store": "memory", "namespace": "default", "tier": "memory", "result": "hit"}
    return registry.get_sample_value("cache_gets_total", labels)

signal.signal(signal.SIGALRM, lambda *_: get(0))
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
def run():
    for _ in range(5000):
        get(1)
thread = threading.Thread(target=run)
thread.start()
for number in range(5000):
    get(2)
    if number % 100 == 0:
        list(registry.collect())
    if number % 1000 == 0:
        child = os.fork()
        if child == 0:
            signal.setitimer(signal.ITIMER_REAL, 0)
            before = count() or 0
            cache.get("k")
            os._exit(0 if count() == before + 1 <= 200 else 1)
        assert os.waitpid(child, 0)[1] == 0
thread.join()
signal.setitimer(signal.ITIMER_REAL, 0)
assert count() == sum(calls), (count(), calls)
"""


@pytest.fixture
def registry() -> prometheus_client.CollectorRegistry:
    return prometheus_client.CollectorRegistry()


def read_samples(text: str) -> dict[tuple[str, ...], float]:
    """Return the value of each sample by its name and the values of its labels, sorted by name."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(registry: prometheus_client.CollectorRegistry) -> dict[tuple[str, ...], float]:
    return read_samples(prometheus_client.generate_latest(registry).decode())


async def test_the_numbers_are_those_of_the_statistics(
    cache_dir: Path, registry: prometheus_client.CollectorRegistry
) -> None:
    async with CacheManager("file", directory=cache_dir, max_entries=3) as cache:
        instrument(cache, prometheus=registry)
        for number in range(5):
            await cache.set(f"k{number}", number)
        for _ in range(3):
            await cache.get_or_set("text", lambda: "text")
        for _ in range(2):
            await cache.get_or_set("unstorable", threading.Lock)
        await cache.get("absent")
        await cache.delete("text")
        stats = await cache.get_stats()
        found = scrape(registry)
        labels = "default", "file"
        assert found["cache_gets_total", "default", "hit", "file", "memory"] == stats.hits == 2
        assert found["cache_gets_total", "default", "miss", "file", "none"] == stats.misses == 4
        assert found["cache_puts_total", *labels] == stats.sets
        assert found["cache_evictions_total", *labels] == stats.evictions
        assert found["cache_removals_total", "deleted", *labels] == stats.deletes == 1
        assert found["cache_unstorable_total", *labels] == stats.unstorable == 2
        assert found["cache_saved_seconds_total", *labels] == pytest.approx(stats.seconds_saved)
        assert found["cache_load_duration_seconds_count", "default", "success", "file"] == 3
        assert found["cache_size", "file", "memory"] >= 1
        assert found["cache_size_bytes", "file", "memory"] > 100


def test_caches_share_a_registry_and_the_last_one_leaves_nothing(
    registry: prometheus_client.CollectorRegistry,
) -> None:
    caches = [sync.CacheManager("memory") for _ in range(2)]
    parts = [instrument(cache, prometheus=registry) for cache in (*caches, caches[0])]
    for cache in caches:
        cache.get("absent")
    sample = "cache_gets_total", "default", "miss", "memory", "none"
    assert scrape(registry)[sample] == 2  # the second instrumentation of a cache counts nothing
    parts[0].close()
    parts[0].close()
    caches[0].get("absent")
    assert scrape(registry)[sample] == 3
    parts[2].close()
    caches[0].get("absent")
    assert scrape(registry)[sample] == 3
    parts[1].close()
    assert scrape(registry) == {}
    with instrument(caches[0], prometheus=registry) as again:
        assert isinstance(again, Instrumentation)
        assert sample not in scrape(registry)


def test_a_name_that_another_metric_has_is_refused(
    registry: prometheus_client.CollectorRegistry,
) -> None:
    prometheus_client.Counter("cache_gets", "Of another library.", registry=registry)
    cache = sync.CacheManager("memory")
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        instrument(cache, prometheus=registry)
    with pytest.raises(TypeError, match="prometheus must be True or a CollectorRegistry"):
        instrument(cache, prometheus="yes")


def test_each_metric_is_exported_under_its_name(
    registry: prometheus_client.CollectorRegistry,
) -> None:
    with instrument(sync.CacheManager("memory"), prometheus=registry):
        text = prometheus_client.generate_latest(registry).decode()
    exported = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {metric.prometheus_name for metric in METRICS} == exported


def test_signal_handlers_threads_and_forks_lose_no_count_and_no_lock() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", INTERRUPTED], check=True, timeout=60)


def test_a_handler_that_interrupts_a_scrape_waits_for_no_lock(
    registry: prometheus_client.CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = sync.CacheManager("memory")
    calls = 1

    def get_interrupted(self: Any) -> float:
        nonlocal calls
        with self._lock:
            calls += 1
            cache.get("absent")  # as a signal handler, which runs while the lock is held
            return float(self._value)

    sample = "cache_gets_total", "default", "miss", "memory", "none"
    with instrument(cache, prometheus=registry):
        cache.get("absent")
        with monkeypatch.context() as patch:
            patch.setattr(values.MutexValue, "get", get_interrupted)
            scrape(registry)
        assert scrape(registry)[sample] == calls > 1


def test_processes_that_share_a_directory_are_summed_up(tmp_path: Path, cache_dir: Path) -> None:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", WORKER, str(cache_dir), f"k{number}", "5"],
            env=environment,
        )
        for number in range(2)
    ]
    assert [worker.wait(60) for worker in workers] == [-signal.SIGKILL] * 2
    text = subprocess.run(
        [sys.executable, "-c", SCRAPE], env=environment, check=True, capture_output=True, timeout=60
    ).stdout.decode()
    found = read_samples(text)
    with sync.CacheManager("file", directory=cache_dir) as cache:
        stats = cache.get_stats()
    hits = [
        value for key, value in found.items() if key[:3] == ("cache_gets_total", "default", "hit")
    ]
    assert sum(hits) == stats.hits == 18
    assert found["cache_gets_total", "default", "miss", "file", "none"] == stats.misses == 2
    assert found["cache_puts_total", "default", "file"] == stats.sets == 2
