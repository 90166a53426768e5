"""What a forked child must not inherit as it is.

Of all threads only the one that forked lives on in the child. A lock that another
thread held stays taken there for ever, and what that thread was changing stays half
changed; numbers that the parent is going to report would be reported by both.

===================  ================================================================
`hold_during_fork`       a lock is taken before a fork and given back after it, on both
                     sides: what it protects is whole in the child, and free
`reset_after_fork`    an object's ``after_fork`` is called in the child
`block_forks`  forks wait for what is done in this context, as for an import
===================  ================================================================

Nothing is kept alive by either. `subprocess` does not fork in this sense.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """An object that a forked child must put in order."""

    def after_fork(self) -> None:
        """Called in the child, where no other thread runs."""


_turn = threading.RLock()  # one fork at a time, so nobody takes some of the locks below
_locks: WeakSet[threading.RLock] = WeakSet()
_objects: WeakSet[Forkable] = WeakSet()
_held: list[threading.RLock] = []


def hold_during_fork(lock: threading.RLock) -> None:
    """Fork only while this lock is free.

    Args:
        lock: one under which no other such lock is ever taken.
    """
    with _turn:
        _locks.add(lock)


def reset_after_fork(thing: Forkable) -> None:
    """Call ``thing.after_fork()`` in every child that is forked from now on."""
    with _turn:
        _objects.add(thing)


def block_forks() -> AbstractContextManager[object]:
    """Have forks wait, as for an import: in a child, what another thread imports comes to no end.

    Nothing may be done here that another thread does as well while it makes such objects.
    """
    return _turn


def _before() -> None:
    _turn.acquire()
    for lock in list(_locks):
        lock.acquire()
        _held.append(lock)


def _after() -> None:
    while _held:
        _held.pop().release()
    _turn.release()


def _after_in_child() -> None:
    _after()
    for thing in list(_objects):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
