"""Hit ratios of the policies over access traces: ``python -m benchmarks.traces FOLDER``.

Every file of the folder that ends in ``.txt`` or ``.txt.gz`` is a trace, one key a line.
Each is played at several capacities, counted in entries, on every policy, on theine if
it is installed, and on the clairvoyant optimum (L. A. Belady, "A study of replacement
algorithms for a virtual-storage computer", 1966). The last line tells the time of each; all
of it is written as JSON, and drawn.
"""

from __future__ import annotations

import argparse
import gzip
import heapq
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from aiocache_pe.cache.factory import POLICIES
from aiocache_pe.eviction.bounded_map import BoundedMap
from benchmarks.environment import results_path
from benchmarks.hits import Hits, Played
from benchmarks.plot_hits import draw

_SHARES = (0.05, 0.15, 0.4)  # of a trace's keys, where no capacities are given
_NEVER = 1 << 62
Play = Callable[[Sequence[str], int], int]


class Node:
    """An entry that weighs one."""

    __slots__ = ("after", "before", "chain", "key", "mark", "size", "uses")

    def __init__(self, key: str) -> None:
        self.key = key
        self.size = 1
        self.uses = 0
        self.chain = self.before = self.after = None
        self.mark = 0


def played_by(policy: str) -> Play:
    """The hits of a policy, in the mapping that the memory tier and store use."""

    def hits_of(keys: Sequence[str], entries: int) -> int:
        cache = BoundedMap[Node](POLICIES[policy](), max_entries=entries)
        nodes, on_hit, hits = cache.nodes, cache.on_hit, 0
        for key in keys:
            node = nodes.get(key)
            if node is None:
                cache.put(Node(key))
                continue
            hits += 1
            node.uses += 1
            if on_hit is not None:
                on_hit(node)
        return hits

    return hits_of


def theine(keys: Sequence[str], entries: int) -> int:
    """The hits of PyPI's theine."""
    from theine import Cache  # noqa: PLC0415 - not everybody has it

    cache, hits = Cache(entries), 0
    for key in keys:
        _, found = cache.get(key)
        if found:
            hits += 1
        else:
            cache.set(key, key)
    return hits


def optimum(keys: Sequence[str], entries: int) -> int:
    """The most hits there can be: what is asked for again last goes, or does not come in."""
    following, seen = [_NEVER] * len(keys), dict[str, int]()
    for at in range(len(keys) - 1, -1, -1):
        following[at] = seen.get(keys[at], _NEVER)
        seen[keys[at]] = at
    held, last, hits = dict[str, int](), list[tuple[int, str]](), 0
    for key, again in zip(keys, following, strict=True):
        hits += key in held
        if again == _NEVER:
            held.pop(key, None)
            continue
        held[key] = again
        heapq.heappush(last, (-again, key))
        while len(held) > entries:
            when, farthest = heapq.heappop(last)
            if held.get(farthest) == -when:
                del held[farthest]
    return hits


def read(path: Path) -> list[str]:
    """The keys of a trace."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return text.decode().split()


def main() -> None:
    """Play every trace, print the hit ratios in percent, write them, and draw them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.traces", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the traces are")
    parser.add_argument("--entries", default="", help="capacities, as in 500,1500,3000")
    parser.add_argument("--only", default="", help="traces whose name has this in it")
    parser.add_argument("--json", type=Path, help="where to write; benchmarks/results/ if absent")
    given = parser.parse_args()
    contenders = {name: played_by(name) for name in POLICIES}
    if find_spec("theine") is not None:
        contenders["theine"] = theine
    contenders["optimum"] = optimum
    paths = sorted([*given.folder.glob("*.txt"), *given.folder.glob("*.txt.gz")])
    chosen = {path.name.partition(".txt")[0]: path for path in paths}
    capacities = [int(n) for n in given.entries.split(",") if n]
    print(f"{'trace':12}{'entries':>8}" + "".join(f"{name:>10}" for name in contenders))
    hits = play(
        {name: read(path) for name, path in chosen.items() if given.only in name},
        capacities,
        contenders,
    )
    if not hits.played:
        sys.exit(f"no trace in {given.folder}; a trace is a file .txt or .txt.gz, one key a line")
    print(f"{'on average':20}" + "".join(f"{one:10.2f}" for one in hits.averages.values()))
    print(f"{'us a request':20}" + "".join(f"{one:10.2f}" for one in hits.microseconds.values()))
    path = given.json or results_path("hits")
    hits.write(path)
    draw(hits, path.with_suffix(".svg"))
    print(f"written: {path} and {path.with_suffix('.svg').name}")


def play(
    traces: Mapping[str, Sequence[str]], capacities: Sequence[int], contenders: Mapping[str, Play]
) -> Hits:
    """Play traces at capacities, by default at shares of their keys, and print as it goes on."""
    spent, requests, played = dict.fromkeys(contenders, 0.0), 0, list[Played]()
    for name, keys in traces.items():
        unique = len(set(keys))
        for entries in capacities or [max(1, round(share * unique)) for share in _SHARES]:
            percent, requests = dict[str, float](), requests + len(keys)
            for contender, asked in contenders.items():
                began = time.process_time()
                percent[contender] = 100 * asked(keys, entries) / len(keys)
                spent[contender] += time.process_time() - began
            played.append(Played(name, entries, percent))
            line = "".join(f"{figure:10.2f}" for figure in percent.values())
            print(f"{name:12}{entries:8}{line}", flush=True)
    each = {name: seconds / max(requests, 1) * 1e6 for name, seconds in spent.items()}
    return Hits(played, each)


if __name__ == "__main__":
    main()
