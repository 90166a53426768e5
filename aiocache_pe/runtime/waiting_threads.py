"""Threads that wait for a change that another thread makes.

`threading.Condition` and `concurrent.futures.Future` take a lock in Python code. An exception that
a signal handler raises in the middle of it leaves the lock acquired. `WaitingThreads`
takes no lock: each step is a single operation of C.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

_POLL_SECONDS: Final = 1.0
"""Time after which a thread looks again by itself, in case the waking thread was interrupted."""


class WaitingThreads:
    """The threads that wait until a condition holds.

    Example:
        >>> import threading
        >>> words, waiting = [], WaitingThreads()
        >>> def work():
        ...     words.append("done")
        ...     waiting.wake()
        >>> threading.Thread(target=work).start()
        >>> waiting.wait_until(lambda: words)
        >>> words
        ['done']
    """

    __slots__ = ("_mails",)

    def __init__(self) -> None:
        self._mails = deque[SimpleQueue[None]]()

    def wait_until(self, is_ready: Callable[[], object]) -> None:
        """Block the calling thread until a condition holds; it is checked after each `wake`."""
        while not is_ready():
            mail = SimpleQueue[None]()
            self._mails.append(mail)
            if is_ready():  # the change came before the thread was on the list
                return
            with suppress(Empty):
                mail.get(timeout=_POLL_SECONDS)

    def wake(self) -> None:
        """Have all waiting threads check their condition."""
        with suppress(IndexError):
            while True:
                self._mails.popleft().put(None)
