"""What a run gave: samples by line, their median, and whether the promises were kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.environment import Environment
from benchmarks.job import Answer, Weight
from benchmarks.row import Line, Row, Target


@dataclass(slots=True)
class LineResult:
    """The answers of one line, a round after the other, the warm-up round left out."""

    line: Line
    answers: list[Answer] = field(default_factory=list)

    @property
    def samples(self) -> list[float]:
        """The figures of the rounds that gave one."""
        return [answer.value for answer in self.answers if answer.status == "ok"]

    @property
    def median(self) -> float | None:
        """The middle one; ``None`` unless every round gave a figure."""
        samples = self.samples
        return median(samples) if samples and len(samples) == len(self.answers) else None

    @property
    def trouble(self) -> Answer | None:
        """The first answer that is not a figure."""
        return next((answer for answer in self.answers if answer.status != "ok"), None)

    def to_json(self) -> dict[str, Any]:
        """Everything, so that a reader can take another statistic."""
        samples, trouble = self.samples, self.trouble
        return {
            **asdict(self.line),
            "status": trouble.status if trouble else "ok",
            "detail": trouble.detail if trouble else "",
            "samples": samples,
            "median": self.median,
            "min": min(samples, default=None),
            "max": max(samples, default=None),
            "notes": [dict(answer.notes) for answer in self.answers if answer.notes],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LineResult:
        """What `to_json` gave."""
        answers = [Answer("ok", value) for value in data["samples"]]
        if data["status"] != "ok":
            answers.append(Answer(data["status"], detail=data["detail"]))
        names = (part.name for part in fields(Line))
        return cls(Line(**{name: data[name] for name in names}), answers)


@dataclass(slots=True)
class RowResult:
    """A row and its lines' results, in the same order."""

    row: Row
    lines: list[LineResult]

    @property
    def medians(self) -> dict[str, float]:
        """By label, for the lines that have one."""
        found = {result.line.label: result.median for result in self.lines}
        return {label: value for label, value in found.items() if value is not None}

    def verdicts(self) -> list[tuple[Target, float | None, str]]:
        """Each target with what was reached: "met", "short", or "open" without figures."""
        verdicts = []
        for target in self.row.targets:
            figure = target.figure(self.medians)
            word = "open" if figure is None else "met" if target.met(figure) else "short"
            verdicts.append((target, figure, word))
        return verdicts

    def to_json(self) -> dict[str, Any]:
        """The row with its lines and verdicts."""
        return {
            "id": self.row.id,
            "title": self.row.title,
            "lines": [line.to_json() for line in self.lines],
            "targets": [
                {"target": str(target), "reached": figure, "verdict": word, **asdict(target)}
                for target, figure, word in self.verdicts()
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RowResult:
        """What `to_json` gave."""
        lines = [LineResult.from_json(line) for line in data["lines"]]
        names = [part.name for part in fields(Target)]
        targets = [Target(**{name: said[name] for name in names}) for said in data["targets"]]
        of_row = tuple(result.line for result in lines)
        return cls(Row(data["id"], data["title"], of_row, tuple(targets)), lines)


@dataclass(slots=True)
class Run:
    """A whole run; a quick one is no more than a first look."""

    environment: Environment
    rounds: int
    rows: list[RowResult]
    load_after: float
    stores: Sequence[Weight] = ()
    quick: bool = False
    read: Mapping[str, str] = field(default_factory=dict)

    @property
    def versions(self) -> dict[str, str]:
        """Every distribution that took part."""
        if self.read:
            return dict(self.read)
        answers = [a for row in self.rows for line in row.lines for a in line.answers]
        found = {name: v for answer in answers for name, v in answer.versions.items()}
        return dict(sorted(found.items()))

    @classmethod
    def of(cls, path: Path) -> Run:
        """The run that a file tells of."""
        data = json.loads(path.read_text())
        return cls(
            data["environment"],
            data["rounds"],
            [RowResult.from_json(row) for row in data["rows"]],
            data["load_after"],
            data["stores"],
            data["quick"],
            data["versions"],
        )

    def write(self, path: Path) -> None:
        """Write it all as JSON."""
        whole = {
            "schema": 1,
            "environment": self.environment,
            "versions": self.versions,
            "quick": self.quick,
            "rounds": self.rounds,
            "load_after": self.load_after,
            "stores": list(self.stores),
            "rows": [row.to_json() for row in self.rows],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(whole, indent=2) + "\n")
