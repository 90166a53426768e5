"""A directory has one secret, which is trusted only if it is private."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import BackendError, CacheManager
from aiocache_pe.backends.file import secret as module
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.locks import ByteLocks
from aiocache_pe.backends.file.secret import load_secret
from tests.support.polling import make_environment

LOADER = """
import sys
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.secret import load_secret
print("ready", flush=True)
sys.stdin.readline()
print(load_secret(Layout(sys.argv[1])).decode())
"""


class Unregistered:
    """A class that only pickle can encode."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unregistered)

    def __hash__(self) -> int:
        return 1


def test_a_secret_is_created_once_and_for_the_owner_only(cache_dir: Path) -> None:
    layout = Layout(str(cache_dir))
    secret = load_secret(layout)
    assert len(secret) == 64
    assert load_secret(layout) == secret
    assert load_secret(Layout(str(cache_dir))) == secret
    assert stat.S_IMODE((cache_dir / ".secret").stat().st_mode) == 0o600
    assert [path.name for path in cache_dir.glob(".secret*")] == [".secret"]
    assert load_secret(Layout(str(cache_dir / "other"))) != secret


def test_processes_that_create_it_concurrently_agree(cache_dir: Path) -> None:
    command = [sys.executable, "-c", LOADER, str(cache_dir)]
    loaders = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for loader in loaders:
        assert loader.stdout is not None
        assert loader.stdout.readline() == "ready\n"
    for loader in loaders:
        assert loader.stdin is not None
        loader.stdin.write("go\n")
        loader.stdin.flush()
    secrets = {loader.communicate(timeout=30)[0] for loader in loaders}
    assert len(secrets) == 1
    assert [path.name for path in cache_dir.glob(".secret*")] == [".secret"]


@pytest.mark.parametrize("damaged", [None, b"cut"], ids=["missing", "damaged"])
def test_a_secret_that_another_process_creates_meanwhile_is_not_moved_aside(
    damaged: bytes | None, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, open_locks, make_root = Layout(str(cache_dir)), ByteLocks, Layout.make_root
    path = cache_dir / ".secret"

    def replace() -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(b"the winner's")
        path.chmod(0o600)

    def make_root_late(layout: Layout) -> None:
        make_root(layout)
        if damaged is None:
            replace()

    def open_locks_late(*args: Any) -> ByteLocks:
        replace()
        return open_locks(*args)

    monkeypatch.setattr(Layout, "make_root", make_root_late)
    monkeypatch.setattr(module, "ByteLocks", open_locks_late)
    if damaged is not None:
        cache_dir.mkdir()
        path.write_bytes(damaged)
        path.chmod(0o600)
    assert load_secret(layout) == path.read_bytes() == b"the winner's"
    assert not (cache_dir / ".damaged").exists()


def test_the_first_of_two_concurrent_secrets_is_used(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, link = Layout(str(cache_dir)), os.link

    def late(source: str, target: str) -> None:
        descriptor = os.open(target, os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(descriptor, b"the winner's")
        os.close(descriptor)
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert load_secret(layout) == b"the winner's"
    assert [path.name for path in cache_dir.glob(".secret*")] == [".secret"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o666])
def test_a_secret_that_other_users_may_read_or_replace_is_refused(
    cache_dir: Path, mode: int
) -> None:
    layout = Layout(str(cache_dir))
    load_secret(layout)
    (cache_dir / ".secret").chmod(mode)
    with pytest.raises(
        BackendError, match=f"mode 0600; got the user .* mode {mode:04o}; remove the file"
    ):
        load_secret(layout)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the owner of a file")
def test_a_secret_of_another_user_is_refused(cache_dir: Path) -> None:
    load_secret(Layout(str(cache_dir)))
    os.chown(cache_dir / ".secret", 12345, 12345)
    with pytest.raises(BackendError, match="must belong to the user of this process"):
        load_secret(Layout(str(cache_dir)))


def test_a_link_is_replaced(cache_dir: Path, tmp_path: Path) -> None:
    cache_dir.mkdir()
    (tmp_path / "known").write_text("known to the attacker")
    (cache_dir / ".secret").symlink_to(tmp_path / "known")
    assert len(load_secret(Layout(str(cache_dir)))) == 64
    assert not (cache_dir / ".secret").is_symlink()
    assert (tmp_path / "known").read_text() == "known to the attacker"


async def test_a_pickle_is_readable_only_with_the_secret_that_signed_it(
    cache_dir: Path, tmp_path: Path
) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        assert await cache.set("k", Unregistered())
    async with CacheManager(directory=cache_dir) as cache:
        assert await cache.get("k") == Unregistered()
    (cache_dir / ".secret").unlink()
    async with CacheManager(directory=cache_dir) as cache:
        assert await cache.get("k", "not trusted") == "not trusted"
        assert (await cache.get_stats()).errors == 1


async def test_a_refused_secret_affects_pickles_only(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set("before", Unregistered())
    (cache_dir / ".secret").chmod(0o644)
    async with CacheManager(directory=cache_dir) as cache:
        assert not await cache.set("k", Unregistered())
        assert await cache.get("before", "missing") == "missing"
        assert await cache.get_or_set("k", Unregistered) == Unregistered()
        assert await cache.set("plain", 1)
        assert await cache.get("plain") == 1
        assert (await cache.get_stats()).errors >= 3


@pytest.mark.parametrize("content", [b"", b"cut", bytes(5000)])
async def test_a_damaged_secret_is_replaced(cache_dir: Path, content: bytes) -> None:
    cache_dir.mkdir()
    (cache_dir / ".secret").write_bytes(content)
    (cache_dir / ".secret").chmod(0o600)
    async with CacheManager(directory=cache_dir) as cache:
        assert await cache.set("k", Unregistered())
    async with CacheManager(directory=cache_dir) as cache:
        assert await cache.get("k") == Unregistered()


def test_a_secret_that_cannot_be_written_leaves_no_file(cache_dir: Path) -> None:
    cache_dir.mkdir()
    script = """
import resource, signal, sys
from aiocache_pe.backends.file import secret as module
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.locks import ByteLocks
from aiocache_pe.backends.file.secret import load_secret

layout = Layout(sys.argv[1])
layout.make_root()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    load_secret(layout)
except OSError as error:
    print(error.strerror)
"""
    command = [sys.executable, "-c", script, str(cache_dir)]
    out = subprocess.run(
        command, capture_output=True, text=True, check=True, env=make_environment()
    )
    assert out.stdout == "File too large\n"
    assert [path.name for path in cache_dir.iterdir() if "secret" in path.name] == []
