"""What passes between the runner and a child process: a job in, a sample out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict

Status = Literal["ok", "not installed", "failed"]


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement, as an operation sees it.

    Attributes:
        n: how many operations to time.
        directory: where a store may put its files: empty and the job's own, or, when
            ``entries`` is not 0, a store that has been filled already.
        entries: how many entries that store holds.
    """

    n: int
    directory: Path
    entries: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement gave.

    Attributes:
        value: the figure, in the unit of the line that asked for it.
        notes: further figures worth keeping, which no target refers to.
    """

    value: float
    notes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """The one line of JSON a child prints.

    Attributes:
        status: "ok", or why there is no value.
        detail: for people, when there is none.
        versions: of the distributions that the contender speaks for.
    """

    status: Status
    value: float = 0.0
    notes: Mapping[str, float] = field(default_factory=dict)
    detail: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Answer:
        """The answer whose fields `dataclasses.asdict` gave."""
        return cls(**data)


class Weight(TypedDict):
    """What filling a store gave; the field names are those of the JSON."""

    entries: int
    seconds: float
    files: int
    apparent_bytes: int
    allocated_bytes: int
