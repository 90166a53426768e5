"""Script in the style of old synchronous cache managers, migrated by changing one line.

The old manager kept all entries in one JSON file and rewrote it at each write::

    from cache_manager import CacheManager, get_cache, make_cache_key

The import below is the changed line. Run the script twice: the second run computes nothing, and
the counters continue. ``aiocache-pe import --format legacy-json cache.json`` imports the old file.

    python examples/legacy_script.py
"""

from __future__ import annotations

import sys
import time

from aiocache_pe.sync import CacheManager, get_cache, make_cache_key

cache = CacheManager()


def search(query: str, limit: int = 3) -> list[str]:
    """Return matching documents; the answers are cached for an hour."""
    key = make_cache_key("search", query, limit=limit)
    found = cache.get(key)
    if found is None:
        print(f"searching for {query!r}")
        time.sleep(0.05)  # the slow call
        found = [f"{query} in document {number}" for number in range(1, limit + 1)]
        cache.set(key, found, ttl=3600)
    return list(found)


def main(queries: list[str]) -> None:
    """Search for each query twice."""
    for query in queries * 2:
        print(search(query)[0])
    runs = get_cache()  # the shared cache of the process, on the same files
    runs.set("runs", runs.get("runs", 0) + 1)
    stats = cache.get_stats()
    print(f"run {runs.get('runs')}: {stats.hits} hits, {stats.misses} misses")


if __name__ == "__main__":
    main(sys.argv[1:] or ["caching", "retries"])
