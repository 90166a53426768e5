"""Messages between the runner and a child process: a job, and its measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Status = Literal["ok", "not installed", "failed"]


@dataclass(frozen=True, slots=True)
class Job:
    """Input of one operation.

    Attributes:
        n: number of operations to time.
        directory: directory for files. It is empty, or holds a filled store if ``entries`` is
            not 0.
        entries: number of entries of the filled store.
        notes: further figures, which the operation adds and no target refers to.
    """

    n: int
    directory: Path
    entries: int = 0
    notes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measurement:
    """Output of one operation: the line of JSON that a child process prints.

    Attributes:
        status: "ok", or the reason for a missing value.
        value: figure in the unit of the line.
        notes: further figures.
        detail: error message, if there is no value.
    """

    status: Status
    value: float = 0.0
    notes: Mapping[str, float] = field(default_factory=dict)
    detail: str = ""
