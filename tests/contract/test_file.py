"""The file store satisfies the contract on disk and on tmpfs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiocache_pe.backends.base import Backend
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.testing import BackendContract


class TestFile(BackendContract):
    @pytest.fixture(autouse=True)
    def _directory(self, cache_dir: Path) -> None:
        self.directory = cache_dir

    async def make_backend(self) -> Backend:
        return FileBackend(self.directory)


TMPFS = Path("/dev/shm")  # each test creates its own temporary directory in it


@pytest.mark.skipif(not TMPFS.is_dir(), reason="no tmpfs on this system")
class TestFileOnTmpfs(BackendContract):
    """On tmpfs, the kernel may not support reads without waiting; then every read takes a hop."""

    @pytest.fixture(autouse=True)
    def _directory(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory(dir=TMPFS) as directory:
            self.directory = Path(directory)
            yield

    async def make_backend(self) -> Backend:
        return FileBackend(self.directory)
