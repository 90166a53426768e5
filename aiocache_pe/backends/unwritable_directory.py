"""Store for a directory that can be neither written nor read: this process keeps the entries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from aiocache_pe.backends.base import Check
from aiocache_pe.backends.file import doctor
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.clock import Clock

logger = logging.getLogger("aiocache_pe")
_reported = set[str]()


class UnwritableFileBackend(MemoryBackend):
    """A store in memory in the place of a file store that cannot work.

    The first one for a directory is logged at ``WARNING``.

    Args:
        directory: the directory of the file store.
        obstacle: the reason for which it cannot be used.
        max_entries, max_bytes, policy, clock: see `MemoryBackend`.
    """

    name = "file"

    def __init__(
        self,
        directory: str,
        obstacle: str,
        *,
        max_entries: int | None,
        max_bytes: int,
        policy: Callable[[], Any],
        clock: Clock,
    ) -> None:
        super().__init__(max_entries=max_entries, max_bytes=max_bytes, policy=policy, clock=clock)
        self._root = Layout(directory).root
        if self._root not in _reported:
            _reported.add(self._root)
            logger.warning(
                "cache directory %s cannot be used: %s; until the process is restarted, results "
                "are kept in its memory only; give directory= or AIOCACHE_PE_DIRECTORY a path that "
                "this user can write",
                *(self._root, obstacle),
            )

    def __repr__(self) -> str:
        return f"UnwritableFileBackend({self._root!r})"

    async def examine(self) -> Sequence[Check]:
        """See `Examinable.examine`."""
        return list(doctor.examine(self._root))
