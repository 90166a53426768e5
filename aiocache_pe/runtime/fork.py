"""Fork handlers: locks and objects that a forked child process must not inherit as they are.

Only the thread that forked exists in the child. A lock that another thread held would stay
locked in the child, and the data under that lock would stay half changed. Counters that the
parent is going to report would be reported by both processes.

===================  ============================================================
`hold_during_fork`   acquires a lock before a fork and releases it on both sides,
                     so that in the child the lock is free and its data consistent
`reset_after_fork`   calls an object's ``after_fork()`` in the child
===================  ============================================================

The registries hold weak references. `subprocess` does not fork in this sense.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol, TypeVar
from weakref import WeakSet


class Forkable(Protocol):
    """An object with state that a forked child must reset."""

    def after_fork(self) -> None:
        """Reset the state; called in the child, where no other thread runs."""


T = TypeVar("T")
# One fork at a time: two forks that each hold some of the locks below would deadlock.
_fork_lock = threading.RLock()
_locks: WeakSet[threading.RLock] = WeakSet()
_objects: WeakSet[Forkable] = WeakSet()
_held_locks: list[threading.RLock] = []


def hold_during_fork(lock: threading.RLock) -> None:
    """Fork only while this lock is free; no other registered lock is ever acquired under it."""
    _locks.add(lock)


def reset_after_fork(forkable: Forkable) -> None:
    """Call ``forkable.after_fork()`` in every child that is forked from now on."""
    _objects.add(forkable)


def _copy(items: Iterable[T]) -> list[T]:
    # The registries have no lock: a finalizer that waits for another thread may run while one
    # is held, and that thread may register an object.
    while True:
        with suppress(RuntimeError):  # another thread has registered an object meanwhile
            return list(items)


def _acquire_locks() -> None:
    _fork_lock.acquire()
    for lock in _copy(_locks):
        lock.acquire()
        _held_locks.append(lock)


def _release_locks() -> None:
    while _held_locks:
        _held_locks.pop().release()
    _fork_lock.release()


def _reset_child() -> None:
    _release_locks()
    for forkable in _copy(_objects):
        forkable.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_acquire_locks, after_in_parent=_release_locks, after_in_child=_reset_child
    )
