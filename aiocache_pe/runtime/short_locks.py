"""Locks that a thread holds for some microseconds, unless other code interrupts it.

A signal handler or a finalizer may run in a thread that holds such a lock. If it waits for the
cache, an event loop that waited for the lock would never continue. So a loop waits for a limited
time.
"""

from __future__ import annotations

from threading import Lock
from time import sleep
from typing import Final

from aiocache_pe.exceptions import BackendError

_MAX_SECONDS: Final = 0.25
_PAUSE_SECONDS: Final = 0.0002


def get_free(lock: Lock) -> Lock:
    """Return a lock once it is free, to be acquired by a ``with`` statement.

    A method that acquired it with a time-out could be interrupted before its ``try``.

    Raises:
        BackendError: the lock was not released in a quarter of a second.

    Example:
        >>> lock = Lock()
        >>> with get_free(lock):
        ...     lock.locked()
        True
    """
    left = _MAX_SECONDS
    while lock.locked():
        if left <= 0.0:
            raise BackendError(
                "this store must not be used by a signal handler or a finalizer that interrupts a "
                "change of it; use it in another thread, or after the change"
            )
        sleep(_PAUSE_SECONDS)
        left -= _PAUSE_SECONDS
    return lock
