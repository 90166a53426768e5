"""Noticing that a server says nothing any more, sooner than each call would by itself.

A time-out for each call has to allow for the longest answer. That nothing at all comes
while several wait is known much earlier: no answer, no part of one, and nothing taken of
what is being sent. What counts is time in which the event loop was free to hear, so a
loop that is held up by other work blames no server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

_TICK = 0.05  # seconds between two looks
_SEVERAL = 2  # one alone may have asked for something that takes its time


class Silence:
    """Watches the connections that are in use, and cuts them off when all are silent.

    Args:
        patience: for how many seconds.
        in_use: tells the connections.
    """

    __slots__ = ("_handle", "_heard", "_in_use", "_silent", "answers", "patience")

    def __init__(self, patience: float, in_use: Callable[[], Collection[Any]]) -> None:
        self.patience = patience
        self.answers = 0
        """To be raised with each answer."""
        self._in_use = in_use
        self._handle: asyncio.TimerHandle | None = None
        self._heard: object = None
        self._silent = 0

    def watch(self) -> None:
        """Begin, unless it has begun; it ends by itself when nothing is in use."""
        if self._handle is None:
            self._silent = 0
            self._handle = asyncio.get_running_loop().call_later(_TICK, self._look)

    def _look(self) -> None:
        waiting = [each for each in self._in_use() if each.is_connected]
        if not self._in_use():
            self._handle = None
            return
        heard = self.answers, [each.progress for each in waiting]
        self._silent = self._silent + 1 if heard == self._heard else 0
        self._heard = heard
        if len(waiting) >= _SEVERAL and self._silent * _TICK >= self.patience:
            for each in waiting:
                each.cut(f"no answer for {self.patience:g} s to {len(waiting)} calls")
        self._handle = asyncio.get_running_loop().call_later(_TICK, self._look)
