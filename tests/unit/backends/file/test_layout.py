"""Every key has its own private file inside the directory."""

from __future__ import annotations

import os
import stat
from itertools import combinations
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.file.layout import (
    FOLDERS,
    Layout,
    get_lock_slot,
    name_area_folder,
    parse_key,
)
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


def list_below(folder: Path) -> list[Path]:
    return list(folder.rglob("*"))


def read_mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make_folder(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "notes.txt").write_text("mine")


def test_every_key_has_its_own_file_on_case_insensitive_file_systems_too() -> None:
    layout = Layout("/cache")
    paths = {key: layout.get_path("default:" + key) for key in AWKWARD}
    folded_names = {key: Path(path).name.casefold() for key, path in paths.items()}
    assert [
        pair for pair in combinations(AWKWARD, 2) if folded_names[pair[0]] == folded_names[pair[1]]
    ] == []
    for path in paths.values():
        assert os.path.normpath(path) == path
        assert path.startswith("/cache/default/")
        name = Path(path).name
        assert name.isascii()
        assert len(name) <= 140
        assert name[:8].isalnum()
        assert Path(path).parent.name in FOLDERS


async def test_no_key_or_namespace_escapes_the_directory(tmp_path: Path) -> None:
    root = tmp_path / "inner" / "cache"
    async with CacheManager(directory=root) as cache:
        for number, namespace in enumerate(("default", "..", "../x", "/", "a/b", "nul\0")):
            view = cache.namespace(namespace)
            await view.set_many(dict.fromkeys(AWKWARD, number), tags=["../../t", "\ud800"])
            assert len(await view.get_many(AWKWARD)) == len(AWKWARD)
    outside = [path for path in list_below(tmp_path) if root not in (path, *path.parents)]
    assert outside == [tmp_path / "inner"]


@pytest.mark.usefixtures("umask_zero")
async def test_only_the_owner_can_read_with_any_umask(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set_many({"a": 1, "b": Unregistered()}, tags=["t"])
        await cache.set("damaged", 1)
        [path] = (path for path in list_below(cache_dir) if path.name.endswith("-damaged"))
        path.write_bytes(b"nonsense")
        await cache.get("damaged")
    modes = {path: read_mode(path) for path in list_below(cache_dir)}
    assert len(modes) > 10
    wrong = {
        path: oct(mode)
        for path, mode in modes.items()
        if mode != (0o700 if path.is_dir() else 0o600)
    }
    assert wrong == {}
    assert read_mode(cache_dir) == 0o700


async def test_a_cache_is_excluded_from_commits_and_backups(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set("k", 1)
    assert (cache_dir / ".gitignore").read_text() == "*\n"
    assert (cache_dir / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06")


async def test_an_existing_directory_keeps_its_mode_and_files(cache_dir: Path) -> None:
    make_folder(cache_dir)
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set("k", 1)
        await cache.clear()
    assert read_mode(cache_dir) == 0o755
    assert (cache_dir / "notes.txt").read_text() == "mine"


def test_the_name_of_a_file_contains_a_short_key() -> None:
    name = Path(Layout("/cache").get_path("default:User:7")).name
    assert name.endswith("-User%3A7")
    assert parse_key(name) == "User:7"


@pytest.mark.parametrize(
    "name", ["notes.txt", "", "12345678-50%", "12345678-%zz", "x" * 32 + "-a~"]
)
def test_a_name_without_a_whole_key_has_no_key(name: str) -> None:
    assert parse_key(name) is None


def test_the_name_of_a_long_key_has_the_whole_digest_and_its_beginning() -> None:
    name = Path(Layout("/cache").get_path("default:" + "prompt " * 100)).name
    digest, _, text = name.partition("-")
    assert len(digest) == 32
    assert text.startswith("prompt%20prompt")
    assert text.endswith("~")


def test_a_lock_slot_is_the_beginning_of_the_digest() -> None:
    path = Layout("/cache").get_path("default:k")
    assert f"{get_lock_slot(path):08x}" == Path(path).name[:8]


def test_long_areas_are_cut_and_remain_distinct() -> None:
    one, two = (make_namespace_prefix("\N{PILE OF POO}" * 199 + end)[:-1] for end in "ab")
    assert name_area_folder(one) != name_area_folder(two)
    assert len(name_area_folder(one)) < 120
    assert name_area_folder("default") == "default"


def test_a_relative_directory_is_resolved_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    layout = Layout("cache")
    monkeypatch.chdir("/")
    assert layout.root == str(tmp_path / "cache")


class Unregistered:
    """A class that only pickle can encode, so that the directory gets a secret."""
