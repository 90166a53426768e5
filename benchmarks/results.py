"""Results of a run: samples of each line, their median, and the verdict on each target."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.job import Measurement
from benchmarks.rows import Line, Row, Target


@dataclass(slots=True)
class LineResult:
    """Measurements of one line, in the order of the rounds."""

    line: Line
    measurements: list[Measurement] = field(default_factory=list)

    @property
    def samples(self) -> list[float]:
        """Figures of the rounds that succeeded."""
        return [found.value for found in self.measurements if found.status == "ok"]

    @property
    def median(self) -> float | None:
        """Median of the samples, or None if a round failed."""
        return median(self.samples) if self.samples and self.failure is None else None

    @property
    def failure(self) -> Measurement | None:
        """First measurement without a figure."""
        return next((found for found in self.measurements if found.status != "ok"), None)

    def to_json(self) -> dict[str, Any]:
        """Return all samples, so that a reader can compute other statistics."""
        return {
            **asdict(self.line),
            "status": self.failure.status if self.failure else "ok",
            "detail": self.failure.detail if self.failure else "",
            "samples": self.samples,
            "median": self.median,
        }


@dataclass(slots=True)
class RowResult:
    """Results of a row's lines, in the order of the lines."""

    row: Row
    lines: list[LineResult]

    @property
    def medians(self) -> dict[str, float]:
        """Medians by label, of the lines that have one."""
        found = {result.line.label: result.median for result in self.lines}
        return {label: value for label, value in found.items() if value is not None}

    def judge(self) -> list[tuple[Target, float | None, str]]:
        """Return each target with its figure and "met", "short", or "open" without a figure."""
        verdicts = []
        for target in self.row.targets:
            figure = target.compute(self.medians)
            word = "open" if figure is None else "met" if target.is_met(figure) else "short"
            verdicts.append((target, figure, word))
        return verdicts

    def to_json(self) -> dict[str, Any]:
        """Return the row with its lines and verdicts."""
        return {
            "id": self.row.id,
            "title": self.row.title,
            "lines": [line.to_json() for line in self.lines],
            "targets": [
                {"target": str(target), "reached": figure, "verdict": word, **asdict(target)}
                for target, figure, word in self.judge()
            ],
        }
