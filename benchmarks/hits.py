"""What playing traces gave: the hits of each contender, by trace and capacity."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

OURS: Final = "adaptive"
"""The default policy, which the others are compared with."""
BEST: Final = "optimum"
"""Who knows the future."""
RIVALS: Final = ("lru", "lfu", "theine", "s3fifo")
"""Whom the default is to be as good as on each trace, and better than on average."""


@dataclass(frozen=True, slots=True)
class Played:
    """One trace at one capacity.

    Attributes:
        trace: its name.
        entries: the capacity.
        percent: of all requests, how many were hits, by contender.
    """

    trace: str
    entries: int
    percent: Mapping[str, float]


@dataclass(slots=True)
class Hits:
    """Every trace that was played, and the microseconds of a request by contender."""

    played: list[Played] = field(default_factory=list)
    microseconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def averages(self) -> dict[str, float]:
        """The percent of each contender, all traces and capacities counting alike."""
        names = self.played[0].percent if self.played else ()
        return {
            name: sum(one.percent[name] for one in self.played) / len(self.played) for name in names
        }

    def write(self, path: Path) -> None:
        """Write it all as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def of(cls, path: Path) -> Hits:
        """What a file tells of."""
        data = json.loads(path.read_text())
        return cls([Played(**one) for one in data["played"]], data["microseconds"])
