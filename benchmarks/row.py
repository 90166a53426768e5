"""What a row is: lines that are measured side by side, and promises about their medians."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Unit = Literal["us", "ms", "bytes"]


@dataclass(frozen=True, slots=True)
class Line:
    """One contender in a row.

    Attributes:
        label: how the table and the targets call it; unique in its row.
        contender: a module of `benchmarks.contenders`.
        operation: a function of that module.
        n: how many operations one round times.
        unit: of one operation.
        entries: how many entries the store shall hold beforehand.
    """

    label: str
    contender: str
    operation: str
    n: int
    unit: Unit = "us"
    entries: int = 0

    @property
    def ours(self) -> bool:
        """Whether it tells of this library."""
        return "ours" in self.contender or "ours" in self.operation


@dataclass(frozen=True, slots=True)
class Target:
    """A promise about the medians of one line, or of two.

    Attributes:
        line: the label of the line it is about.
        bound: what is promised.
        against: the label of the line it is divided by, or whose median is taken off.
        how: "ratio", "difference", or "value" when nothing is compared.
        least: whether the bound is to be reached rather than kept.
    """

    line: str
    bound: float
    against: str = ""
    how: Literal["ratio", "difference", "value"] = "ratio"
    least: bool = False

    def __str__(self) -> str:
        sign = {"ratio": f" / {self.against}", "difference": f" - {self.against}", "value": ""}
        return f"{self.line}{sign[self.how]} {'>=' if self.least else '<='} {self.bound:g}"

    def figure(self, medians: Mapping[str, float]) -> float | None:
        """What was reached, or ``None`` when a line it needs has no median."""
        needed = [self.line] if self.how == "value" else [self.line, self.against]
        values = [medians[label] for label in needed if label in medians]
        if len(values) < len(needed):
            return None
        if self.how == "value":
            return values[0]
        return values[0] / values[1] if self.how == "ratio" else values[0] - values[1]

    def met(self, figure: float) -> bool:
        """Whether that keeps the promise."""
        return figure >= self.bound if self.least else figure <= self.bound

    def limit(self, medians: Mapping[str, float]) -> float | None:
        """What the line's median has to keep to, the other being as it is."""
        if self.how == "value":
            return self.bound
        other = medians.get(self.against)
        if other is None:
            return None
        return self.bound * other if self.how == "ratio" else self.bound + other


@dataclass(frozen=True, slots=True)
class Row:
    """Lines that are measured side by side; the first one is what the others are divided by."""

    id: str
    title: str
    lines: tuple[Line, ...]
    targets: tuple[Target, ...] = ()
