"""Support for tests of code that uses a cache, and of third-party stores."""

from __future__ import annotations

from aiocache_pe.testing.contract import BackendContract
from aiocache_pe.testing.fake_clock import FakeClock
from aiocache_pe.testing.spy_backend import SpyBackend

__all__ = ["BackendContract", "FakeClock", "SpyBackend"]
