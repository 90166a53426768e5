"""The example script of an old synchronous cache manager: before and after the migration."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.polling import make_environment

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "legacy_script.py"
AFTER = "from aiocache_pe.sync import CacheManager, get_cache, make_cache_key"
BEFORE = "from cache_manager import CacheManager, get_cache, make_cache_key"

# The old manager, in the style of such scripts: one file, read and written as a whole.
OLD_MANAGER = """
import hashlib, json, pathlib, time

class CacheManager:
    def __init__(self, path="cache.json"):
        self.path = pathlib.Path(path)
        self.counts = {"hits": 0, "misses": 0}
    def _load(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}
    def get(self, key, default=None):
        entries = self._load()
        entry = entries.get(key)
        if entry is None or (entry["expires_at"] or time.time() + 1) <= time.time():
            self.counts["misses"] += 1
            return default
        self.counts["hits"] += 1
        entry["hit_count"] += 1
        self.path.write_text(json.dumps(entries))
        return entry["value"]
    def set(self, key, value, ttl=None):
        now = time.time()
        entry = {"value": value, "created_at": now, "expires_at": ttl and now + ttl, "hit_count": 0}
        self.path.write_text(json.dumps(self._load() | {key: entry}))
    def get_stats(self):
        return type("Stats", (), self.counts)

_cache = CacheManager()

def get_cache():
    return _cache

def make_cache_key(*args, **kwargs):
    return hashlib.md5(json.dumps([args, kwargs], sort_keys=True).encode()).hexdigest()
"""


def run_script(directory: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=directory,
        env=make_environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def find_answers(output: str) -> list[str]:
    return [line for line in output.splitlines() if " in document " in line]


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """Write the script in its old form, beside the old manager."""
    source = SCRIPT.read_text()
    assert source.count(AFTER) == 1
    (tmp_path / "cache_manager.py").write_text(OLD_MANAGER)
    script = tmp_path / "before.py"
    script.write_text(source.replace(AFTER, BEFORE))
    return script


def test_the_second_run_computes_nothing_and_continues_the_counters(tmp_path: Path) -> None:
    first, second = (run_script(tmp_path, str(SCRIPT), "a", "b") for _ in range(2))
    assert first.count("searching for") == 2
    assert second.count("searching for") == 0
    assert find_answers(first) == find_answers(second)
    # Another manager counts the third miss and reports it a second later.
    assert re.fullmatch("run 1: 2 hits, [23] misses", first.splitlines()[-1])
    assert second.splitlines()[-1].startswith("run 2: ")


def test_the_migration_changes_one_line(tmp_path: Path, before: Path) -> None:
    assert find_answers(run_script(tmp_path, str(before), "a", "b")) == find_answers(
        run_script(tmp_path, str(SCRIPT), "a", "b")
    )


def test_the_old_file_can_be_imported(tmp_path: Path, before: Path) -> None:
    run_script(tmp_path, str(before), "a", "b")
    out = run_script(tmp_path, *"-m aiocache_pe import --format legacy-json cache.json".split())
    assert out == "imported 3 entries\n"
    assert run_script(tmp_path, *"-m aiocache_pe get runs".split()) == "1\n"
    assert run_script(tmp_path, str(SCRIPT), "a").splitlines()[-1].startswith("run 2: ")
