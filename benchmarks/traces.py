"""Row P9, hit ratios of the eviction policies on traces: ``python -m benchmarks.traces FOLDER``.

Every file of the folder that ends in ``.txt`` or ``.txt.gz`` is a trace with one request a
line; the first word of the line is the key. Each trace is replayed at several capacities,
counted in entries, on every policy, on theine if it is installed, and on the clairvoyant
optimum (L. A. Belady, "A study of replacement algorithms for a virtual-storage computer",
1966).
"""

from __future__ import annotations

import argparse
import gzip
import heapq
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from aiocache_pe.cache.factory import POLICIES  # no public name gives a policy by itself
from aiocache_pe.eviction.bounded_map import BoundedMap
from benchmarks.environment import make_results_path

DEFAULT: Final = "adaptive"
RIVALS: Final = ("lru", "lfu", "theine", "s3fifo")
"""Contenders that the default policy has to equal on each trace and to exceed on average."""
TOLERANCE: Final = 0.5  # percentage points of the default policy below the best rival
MICROSECONDS: Final = 4.0  # of one request with the default policy
SHARES: Final = (0.05, 0.15, 0.4)  # default capacities, as shares of a trace's keys
NEVER: Final = 1 << 62

Replay = Callable[[Sequence[str], int], int]


class Node:
    """Entry of size one, as `aiocache_pe.eviction.base.Node` describes it."""

    __slots__ = ("hits", "key", "next", "policy_state", "previous", "queue", "size")

    def __init__(self, key: str) -> None:
        self.key = key
        self.size = 1
        self.hits = 0
        self.queue = self.previous = self.next = None
        self.policy_state = 0


def make_replay(policy: str) -> Replay:
    """Return a function that counts a policy's hits in the memory tier's own mapping."""

    def replay(keys: Sequence[str], entries: int) -> int:
        cache: BoundedMap[Node] = BoundedMap(POLICIES[policy](), max_entries=entries)
        nodes, on_hit, hits = cache.nodes, cache.on_hit, 0
        for key in keys:
            node = nodes.get(key)
            if node is None:
                cache.put(Node(key))
                continue
            hits += 1
            node.hits += 1
            if on_hit is not None:
                on_hit(node)
        return hits

    return replay


def replay_theine(keys: Sequence[str], entries: int) -> int:
    """Count the hits of PyPI's theine, an implementation of W-TinyLFU."""
    from theine import Cache  # noqa: PLC0415 - an optional contender

    cache: Cache[str, str] = Cache(entries)
    hits = 0
    for key in keys:
        _, is_hit = cache.get(key)
        if is_hit:
            hits += 1
        else:
            cache.set(key, key)
    return hits


def replay_optimum(keys: Sequence[str], entries: int) -> int:
    """Count the most hits possible: evict, or do not admit, the key with the latest next use."""
    next_uses, seen = [NEVER] * len(keys), dict[str, int]()
    for at in range(len(keys) - 1, -1, -1):
        next_uses[at] = seen.get(keys[at], NEVER)
        seen[keys[at]] = at
    held, latest, hits = dict[str, int](), list[tuple[int, str]](), 0
    for key, next_use in zip(keys, next_uses, strict=True):
        hits += key in held
        if next_use == NEVER:
            held.pop(key, None)
            continue
        held[key] = next_use
        heapq.heappush(latest, (-next_use, key))
        while len(held) > entries:
            use, candidate = heapq.heappop(latest)
            if held.get(candidate) == -use:
                del held[candidate]
    return hits


def read_trace(path: Path) -> list[str]:
    """Return the keys of a trace."""
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return [line.split()[0] for line in text.decode().splitlines() if line.strip()]


def replay_traces(
    traces: Mapping[str, Sequence[str]], capacities: Sequence[int], replays: Mapping[str, Replay]
) -> dict[str, Any]:
    """Replay every trace and print each line; return the results as they are written."""
    seconds, requests = dict.fromkeys(replays, 0.0), 0
    results: list[dict[str, Any]] = []
    for name, keys in traces.items():
        unique = len(set(keys))
        for entries in capacities or [max(1, round(share * unique)) for share in SHARES]:
            percent, requests = dict[str, float](), requests + len(keys)
            for contender, replay in replays.items():
                start = time.process_time()
                percent[contender] = 100 * replay(keys, entries) / len(keys)
                seconds[contender] += time.process_time() - start
            results.append({"trace": name, "entries": entries, "percent": percent})
            _print_line(f"{name:12}{entries:8}", percent)
    count = max(1, len(results))
    averages = {
        contender: sum(result["percent"][contender] for result in results) / count
        for contender in replays
    }
    microseconds = {name: spent / max(1, requests) * 1e6 for name, spent in seconds.items()}
    return {"played": results, "averages": averages, "microseconds": microseconds}


def judge(results: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each target of P9, with its verdict."""
    rivals = [name for name in RIVALS if name in results["averages"]]
    lead = min(
        result["percent"][DEFAULT] - max(result["percent"][name] for name in rivals)
        for result in results["played"]
    )
    average = results["averages"][DEFAULT] - max(results["averages"][name] for name in rivals)
    microseconds = results["microseconds"][DEFAULT]
    targets = [
        (lead >= -TOLERANCE, f"lead over the best rival on each trace >= {-TOLERANCE}", lead),
        (average > 0, "lead over the best rival on average > 0", average),
        (microseconds <= MICROSECONDS, f"us a request <= {MICROSECONDS:g}", microseconds),
    ]
    return [
        f"{'met' if is_met else 'short':8}{DEFAULT}: {target}: reached {figure:.2f}"
        for is_met, target, figure in targets
    ]


def _print_line(label: str, figures: Mapping[str, float]) -> None:
    print(f"{label:20}" + "".join(f"{figure:10.2f}" for figure in figures.values()), flush=True)


def main() -> None:
    """Replay every trace, print the hit ratios in percent and write them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.traces", description=__doc__)
    parser.add_argument("folder", type=Path, help="directory of the traces")
    parser.add_argument("--entries", default="", help="capacities such as 500,1500,3000")
    parser.add_argument("--json", type=Path, help="output file (default: in benchmarks/results/)")
    arguments = parser.parse_args()
    replays = {name: make_replay(name) for name in POLICIES}
    if find_spec("theine") is not None:
        replays["theine"] = replay_theine
    replays["optimum"] = replay_optimum
    paths = sorted([*arguments.folder.glob("*.txt"), *arguments.folder.glob("*.txt.gz")])
    traces = {path.name.partition(".txt")[0]: read_trace(path) for path in paths}
    if not traces:
        sys.exit(f"no trace in {arguments.folder}; a trace is a file *.txt or *.txt.gz")
    print(f"{'trace':12}{'entries':>8}" + "".join(f"{name:>10}" for name in replays))
    capacities = [int(number) for number in arguments.entries.split(",") if number]
    results = replay_traces(traces, capacities, replays)
    _print_line("average", results["averages"])
    _print_line("us a request", results["microseconds"])
    print(*judge(results), sep="\n")
    path = arguments.json or make_results_path("hits")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
