"""Rolling deployments: two releases over one store destroy no entry of each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.support.file_store import list_entry_files
from tests.support.polling import make_environment
from tests.support.processes.use_release import KEYS, PACKAGE, copy_later_release
from tests.support.servers.redis_server import Server

MODULE = PACKAGE.parent / "tests/support/processes/use_release.py"


class Release:
    """A process of a release."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, command: str) -> Any:
        """Run a command and return its result."""
        requests, results = self._process.stdin, self._process.stdout
        assert requests is not None
        assert results is not None
        requests.write(command + "\n")
        requests.flush()
        result = results.readline()
        assert result, f"the process ended with {self._process.wait()}"
        return json.loads(result)


@contextmanager
def start(name: str, path: Path, store: str) -> Generator[Release]:
    environment = make_environment() | {"PYTHONPATH": f"{path}{os.pathsep}{PACKAGE.parent}"}
    with subprocess.Popen(
        [sys.executable, str(MODULE), name, store],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield Release(process)
            process.communicate(timeout=60)  # closes its input, so that it ends
        finally:
            process.kill()


@pytest.mark.parametrize("kind", ["file", "redis"])
def test_two_releases_destroy_no_entry_of_each_other(
    kind: str, cache_dir: Path, tmp_path: Path, own_redis: Server
) -> None:
    copy_later_release(tmp_path / "later")
    store = own_redis.url if kind == "redis" else str(cache_dir)

    def read_entries() -> dict[str, bytes]:
        if kind == "file":
            paths = list_entry_files(cache_dir)
            return {path.name: path.read_bytes() for path in paths if "-k" in path.name}
        with Redis.from_url(own_redis.url) as admin:
            names: Any = admin.keys("aiocache_pe:default:k*")
            return {name: admin.get(name) for name in names}

    with (
        start("present", PACKAGE.parent, store) as present,
        start("later", tmp_path / "later", store) as later,
    ):
        assert later.call("fill") == 2
        before = read_entries()
        assert len(before) == len(KEYS)
        assert present.call("use") == KEYS  # each is computed, and none is stored
        assert read_entries() == before  # entries destroyed: 0
        assert later.call("get") == [2] * len(KEYS)

        assert present.call("fill") == 1  # a change of the user's takes effect
        assert later.call("get") == present.call("get") == [1] * len(KEYS)

        # The classes differ, so each release has entries of its own.
        for n in range(3):
            assert present.call("ask") == [n * len(KEYS), len(KEYS)]
            assert later.call("ask") == [n * len(KEYS), len(KEYS)]
