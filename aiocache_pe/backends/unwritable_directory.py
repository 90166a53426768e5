"""Store for a directory that can be neither written nor read: this process keeps the entries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from aiocache_pe.backends.base import Check
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.clock import Clock

logger = logging.getLogger("aiocache_pe")
_reported = set[str]()


class UnwritableFileBackend(MemoryBackend):
    """A store in memory in the place of a file store that cannot work.

    The first one for a directory is logged at ``WARNING``.

    Args:
        files: the file store.
        obstacle: the reason for which it cannot use its directory.
        max_entries, max_bytes, policy, clock: see `MemoryBackend`.
    """

    name = "file"

    def __init__(
        self,
        files: FileBackend,
        obstacle: str,
        *,
        max_entries: int | None,
        max_bytes: int,
        policy: Callable[[], Any],
        clock: Clock,
    ) -> None:
        super().__init__(max_entries=max_entries, max_bytes=max_bytes, policy=policy, clock=clock)
        self._files = files
        if files.directory not in _reported:
            _reported.add(files.directory)
            logger.warning(
                "cache directory %s cannot be used: %s; until the process is restarted, results "
                "are kept in its memory only; give directory= or AIOCACHE_PE_DIRECTORY a path that "
                "this user can write",
                *(files.directory, obstacle),
            )

    def __repr__(self) -> str:
        return f"UnwritableFileBackend({self._files.directory!r})"

    async def examine(self) -> Sequence[Check]:
        """See `Examinable.examine`."""
        return await self._files.examine()

    async def close(self) -> None:
        """See `Backend.close`."""
        await super().close()
        await self._files.close()
