"""Threads wait for a change of another thread, and continue after an interrupted one."""

from __future__ import annotations

import threading

import pytest

from aiocache_pe.runtime import waiting_threads
from aiocache_pe.runtime.waiting_threads import WaitingThreads
from tests.support.polling import poll_blocking


def test_all_waiting_threads_continue_after_a_change() -> None:
    waiting, words = WaitingThreads(), list[str]()
    threads = [threading.Thread(target=waiting.wait_until, args=(lambda: words,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    poll_blocking(lambda: len(waiting._mails) == 5)
    waiting.wake()  # the condition does not hold yet
    words.append("done")
    waiting.wake()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    waiting.wait_until(lambda: words)


def test_a_thread_notices_a_change_whose_thread_was_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting_threads, "_POLL_SECONDS", 0.001)
    looks = list[int]()

    def is_ready() -> bool:
        looks.append(1)
        return len(looks) > 5

    WaitingThreads().wait_until(is_ready)
    assert len(looks) == 6
