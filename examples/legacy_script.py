"""A script in the style of old synchronous cache managers; it needs one line changed.

Before, with everything in one JSON file that each write rewrote::

    from cache_manager import CacheManager, get_cache, make_cache_key

After, see the import below. Run it twice: the second time nothing is computed, and the
counters go on. Its old file comes along by
``aiocache-pe import --format legacy-json cache.json``.

    python examples/legacy_script.py
"""

from __future__ import annotations

import sys
import time

from aiocache_pe.sync import CacheManager, get_cache, make_cache_key

cache = CacheManager()


def search(query: str, limit: int = 3) -> list[str]:
    """Find documents; slow, so the answers are kept for an hour."""
    key = make_cache_key("search", query, limit=limit)
    found = cache.get(key)
    if found is None:
        print(f"searching for {query!r}")
        time.sleep(0.05)  # the slow call
        found = [f"{query} in document {number}" for number in range(1, limit + 1)]
        cache.set(key, found, ttl=3600)
    return list(found)


def main(queries: list[str]) -> None:
    """Search for some things, twice each."""
    for query in queries * 2:
        print(search(query)[0])
    runs = get_cache()  # the process's shared one, on the same files
    runs.set("runs", runs.get("runs", 0) + 1)
    stats = cache.get_stats()
    print(f"run {runs.get('runs')}: {stats.hits} hits, {stats.misses} misses")


if __name__ == "__main__":
    main(sys.argv[1:] or ["caching", "retries"])
