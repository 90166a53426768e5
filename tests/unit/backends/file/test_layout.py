"""Names of files: every key has one of its own, inside the directory, and private."""

from __future__ import annotations

import os
import stat
from itertools import combinations
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.file.layout import FOLDERS, Layout, area_folder, display_key, lock_slot
from aiocache_pe.keys.store_keys import make_namespace_prefix

AWKWARD = (
    "",
    ".",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "nul\0byte",
    "line\nbreak",
    "-rf",
    "~",
    "\N{PILE OF POO}",
    "\ud800",
    "\udcff",
    "CON",
    "con",
    "NUL.txt",
    "LPT1",
    "User",
    "user",
    "USER",
    "trailing.",
    "trailing ",
    "a:b",
    'quo"te<>|?*',
    "x" * 10_240,
    "x" * 10_241,
    "\N{PILE OF POO}" * 1000,
)


def below(folder: Path) -> list[Path]:
    return list(folder.rglob("*"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "notes.txt").write_text("mine")


def test_every_key_has_a_file_of_its_own_whatever_the_file_system_tells_apart() -> None:
    layout = Layout("/cache")
    paths = {key: layout.path("default:" + key) for key in AWKWARD}
    folded = {key: Path(path).name.casefold() for key, path in paths.items()}
    assert [pair for pair in combinations(AWKWARD, 2) if folded[pair[0]] == folded[pair[1]]] == []
    for path in paths.values():
        assert os.path.normpath(path) == path
        assert path.startswith("/cache/default/")
        name = Path(path).name
        assert name.isascii()
        assert len(name) <= 140
        assert name[:8].isalnum()
        assert Path(path).parent.name in FOLDERS


async def test_nothing_escapes_the_directory(tmp_path: Path) -> None:
    root = tmp_path / "inner" / "cache"
    async with CacheManager(directory=root) as cache:
        for number, namespace in enumerate(("default", "..", "../x", "/", "a/b", "nul\0")):
            view = cache.namespace(namespace)
            await view.set_many(dict.fromkeys(AWKWARD, number), tags=["../../t", "\ud800"])
            assert len(await view.get_many(AWKWARD)) == len(AWKWARD)
    outside = [path for path in below(tmp_path) if root not in (path, *path.parents)]
    assert outside == [tmp_path / "inner"]


@pytest.mark.usefixtures("umask_zero")
async def test_only_the_owner_can_read_whatever_the_umask(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set_many({"a": 1, "b": Unregistered()}, tags=["t"])
        await cache.set("damaged", 1)
        [path] = (path for path in below(cache_dir) if path.name.endswith("-damaged"))
        path.write_bytes(b"nonsense")
        await cache.get("damaged")
    modes = {path: mode(path) for path in below(cache_dir)}
    assert len(modes) > 10
    wrong = {
        path: oct(mode)
        for path, mode in modes.items()
        if mode != (0o700 if path.is_dir() else 0o600)
    }
    assert wrong == {}
    assert mode(cache_dir) == 0o700


async def test_a_cache_belongs_in_no_commit_and_in_no_backup(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set("k", 1)
    assert (cache_dir / ".gitignore").read_text() == "*\n"
    assert (cache_dir / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06")


async def test_a_directory_that_was_there_is_left_as_it_is(cache_dir: Path) -> None:
    make(cache_dir)
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set("k", 1)
        await cache.clear()
    assert mode(cache_dir) == 0o755
    assert (cache_dir / "notes.txt").read_text() == "mine"


def test_a_short_key_can_be_read_in_its_name() -> None:
    name = Path(Layout("/cache").path("default:User:7")).name
    assert name.endswith("-User%3A7")
    assert display_key(name) == "User:7"


@pytest.mark.parametrize(
    "name", ["notes.txt", "", "12345678-50%", "12345678-%zz", "x" * 32 + "-a~"]
)
def test_a_name_that_shows_no_whole_key_shows_none(name: str) -> None:
    assert display_key(name) is None


def test_a_long_key_shows_its_beginning_and_has_the_whole_digest() -> None:
    name = Path(Layout("/cache").path("default:" + "prompt " * 100)).name
    digest, _, shown = name.partition("-")
    assert len(digest) == 32
    assert shown.startswith("prompt%20prompt")
    assert shown.endswith("~")


def test_a_lock_is_found_by_the_name_alone() -> None:
    path = Layout("/cache").path("default:k")
    assert f"{lock_slot(path):08x}" == Path(path).name[:8]


def test_long_areas_are_cut_and_stay_apart() -> None:
    one, two = (make_namespace_prefix("\N{PILE OF POO}" * 199 + end)[:-1] for end in "ab")
    assert area_folder(one) != area_folder(two)
    assert len(area_folder(one)) < 120
    assert area_folder("default") == "default"


def test_a_relative_directory_is_that_of_the_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    layout = Layout("cache")
    monkeypatch.chdir("/")
    assert layout.root == str(tmp_path / "cache")


class Unregistered:
    """Only pickle can hold it, so the directory gets a secret."""
