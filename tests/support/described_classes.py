"""Classes with annotations of all kinds; their schemas are the same on every version of Python."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from pathlib import Path
from typing import (  # noqa: UP035 - the old forms, too
    Annotated,
    Any,
    ClassVar,
    Generic,
    List,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
    Union,
)
from uuid import UUID

T = TypeVar("T")
Id = NewType("Id", int)
Text = Union[str, Literal["a", "b"]]  # noqa: PYI051, UP007 - as SDKs write it


class Colour(Enum):
    RED = 1
    BLUE = (0, 0.5)


class Size(IntEnum):
    SMALL = 1


class Access(Flag):
    READ = 1
    WRITE = 2


class Options(TypedDict, total=False):
    level: Literal[2, "high"] | None
    next: NotRequired[Options]


class Point(NamedTuple):
    x: int
    y: float = 0


@dataclass
class Box(Generic[T]):
    item: T
    others: tuple[T, ...] = ()


@dataclass(frozen=True)
class Record:
    limit: ClassVar[int] = 3
    number: Id
    old: Optional[List[int]] = None  # noqa: UP006, UP045 - the old forms, too
    new: list[int] | None = None
    text: Text = ""
    colour: Colour = Colour.RED
    options: Options = field(default_factory=Options)
    boxes: Mapping[str, Box[int]] = field(default_factory=dict)
    function: Callable[[int], Any] | None = None
    marked: Annotated[Decimal, "a mark"] = Decimal(0)
    path: Path | UUID | dt.datetime | None = None
    later: "Point | Missing | None" = None  # type: ignore[name-defined] # noqa: F821, UP037


@dataclass(frozen=True)
class Derived(Record):
    more: bytes = b""


CLASSES: tuple[type, ...] = (Colour, Size, Access, Options, Point, Box, Record, Derived)
