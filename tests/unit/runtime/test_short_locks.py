"""A lock that an interrupted thread holds is refused after a limited time."""

from __future__ import annotations

import threading

import pytest

from aiocache_pe.exceptions import BackendError
from aiocache_pe.runtime import short_locks
from aiocache_pe.runtime.short_locks import get_free


def test_a_lock_is_returned_once_another_thread_has_released_it() -> None:
    lock, held = threading.Lock(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()

    thread = threading.Thread(target=hold)
    with lock:
        thread.start()
    assert held.wait(60)
    with get_free(lock):
        assert lock.locked()
    thread.join(60)


def test_a_lock_that_is_not_released_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_locks, "_MAX_SECONDS", 0.001)
    lock = threading.Lock()
    with lock, pytest.raises(BackendError, match="signal handler or a finalizer"):
        get_free(lock)
