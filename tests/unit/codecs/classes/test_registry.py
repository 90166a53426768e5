"""Instances of registered classes are restored exactly; other classes are refused."""

from __future__ import annotations

import functools
import sys
from collections import namedtuple
from collections.abc import AsyncIterator, Callable
from dataclasses import InitVar, dataclass, field, make_dataclass
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum, auto
from typing import (
    Annotated,
    Any,
    ForwardRef,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    TypedDict,
    TypeVar,
)

import attrs
import msgspec
import pytest

from aiocache_pe.codecs.base import NotExactError
from aiocache_pe.codecs.classes.registry import find_shape, register, register_annotation
from aiocache_pe.codecs.pipeline import Pipeline
from aiocache_pe.codecs.tagged_json import TaggedJson, encode_tagged
from aiocache_pe.exceptions import ChangedClassError, CorruptRecordError
from tests.support.exactness import assert_round_trip, choose_codec, round_trip

T = TypeVar("T")


@register
@dataclass
class Answer:
    text: str
    scores: tuple[float, ...] = ()
    calls: int = field(default=0, init=False)


@register
@dataclass(frozen=True, slots=True)
class Frozen:
    x: int
    y: Any = None


@register
@dataclass
class Base:
    __slots__ = ("__hidden", "x")
    x: int

    def hide(self, value: Any) -> Base:
        self.__hidden = value
        return self

    @property
    def hidden(self) -> Any:
        return self.__hidden


@register
@dataclass
class Computed:
    doubled: int = field(init=False)
    start: InitVar[int] = 0

    def __post_init__(self, start: int) -> None:
        self.doubled = start * 2

    @functools.cached_property
    def costly(self) -> int:
        return self.doubled + 1


@register
@dataclass
class Strict:
    x: int

    def __init__(self) -> None:
        raise AssertionError("reading must not call this method")

    def __setattr__(self, name: str, value: object) -> None:
        raise AssertionError("reading must not call this method")


class Point(NamedTuple):
    x: int
    y: Any = 0


Old = namedtuple("Old", ["a", "b"])  # noqa: PYI024  # pyright: ignore[reportUntypedNamedTuple]


class Older(Old):
    """Subclass without slots, and so with a ``__dict__``."""


class Colour(Enum):
    RED = "red"
    ROUGE = "red"  # noqa: PIE796 - an alias
    BLUE = (0, 0, 255)


class Size(IntEnum):
    SMALL = 1


class Name(StrEnum):
    A = auto()


class Access(Flag):
    READ = auto()
    WRITE = auto()
    EXECUTE = auto()


class Bits(IntFlag):
    ONE = 1
    TWO = 2


class Reply(msgspec.Struct, frozen=True):
    text: str
    parts: Any = ()


class Loose(msgspec.Struct, dict=True, tag=True, kw_only=True):
    x: Any = msgspec.UNSET


class Checked(msgspec.Struct):
    x: int
    seen: int = 0

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("negative")
        self.seen += 1


for cls in (Point, Old, Older, Colour, Size, Name, Access, Bits, Reply, Loose, Checked):
    register(cls)


@pytest.mark.parametrize(
    "value",
    [
        Answer("a", (1.0, float("nan"))), Frozen(1, Frozen(2, {(1, 2): Frozen(3)})),
        Point(1), Point(1, Point(2, [3])), Old(1, "b"), Colour.RED, Colour.BLUE, Size.SMALL, Name.A,
        Access.READ, Access.READ | Access.WRITE, Access(0), Bits.ONE | Bits.TWO, Bits(8), ~Bits.ONE,
        Reply("a", (1, b"x")), Loose(), Loose(x=msgspec.UNSET), Loose(x={1: 2}), Checked(1),
    ],
    ids=repr,
)  # fmt: skip
def test_instances_of_registered_classes_are_restored(value: Any) -> None:
    assert_round_trip(value)
    assert_round_trip({"deep": [(value, {1: value})]})
    assert choose_codec(value) == "tagged"


def test_enum_members_are_restored_as_the_same_object() -> None:
    assert round_trip([Colour.ROUGE])[0] is Colour.RED
    assert round_trip(Access.READ | Access.EXECUTE) is Access.READ | Access.EXECUTE


def test_the_output_is_readable() -> None:
    assert b'.Point",{"x":1,"y":0},"' in encode_tagged(Point(1))
    assert b'.Colour","RED","' in encode_tagged(Colour.RED)


def test_attributes_beside_the_fields_are_kept() -> None:
    answer = Answer("a")
    answer.calls = 7
    answer.note = {"by": ("me",)}  # type: ignore[attr-defined]
    older = Older(1, 2)
    older.__dict__["note"] = (3,)
    loose = Loose(x=1)
    loose.note = (4,)  # type: ignore[attr-defined]
    for value in (answer, older, loose):
        assert_round_trip(value)


def test_private_slots_are_kept() -> None:
    assert round_trip(Base(1).hide((2, 3))).hidden == (2, 3)
    assert round_trip(Base(1)) == Base(1)


def test_fields_that_init_computes_are_kept_and_init_does_not_run() -> None:
    value = Computed(start=4)
    assert value.costly == 9
    assert_round_trip(value)
    strict = object.__new__(Strict)
    strict.__dict__["x"] = 1
    assert_round_trip(strict)


def test_changes_by_post_init_are_not_made_twice() -> None:
    value = Checked(5)
    assert round_trip(round_trip(value)).seen == 1


def test_a_struct_that_cannot_be_built_again_is_refused() -> None:
    value = Checked(5)
    value.x = -1
    assert TaggedJson().encode(value) is None


def test_an_instance_without_one_of_its_fields_is_refused() -> None:
    assert TaggedJson().encode(object.__new__(Answer)) is None
    assert TaggedJson().encode(tuple.__new__(Point, (1, 2, 3))) is None


class Child(Answer):
    pass


def test_a_subclass_is_not_taken_for_its_registered_base() -> None:
    assert TaggedJson().encode(Child("a")) is None


@dataclass
class Unknown:
    x: int


def test_an_unregistered_class_is_refused_with_advice() -> None:
    with pytest.raises(Exception, match=r"Unknown, which is not registered.*aiocache_pe\.register"):
        Pipeline().encode("k", [Unknown(1)])


def test_the_error_about_a_missing_class_names_it() -> None:
    payload = b'{"$type":["somewhere.Else",{"x":1}]}'
    with pytest.raises(CorruptRecordError, match=r"'somewhere\.Else'.*register it"):
        Pipeline().decode("k", "tagged", payload)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "subprocess.Popen", "antigravity"])
def test_reading_never_imports_or_calls_by_name(name: str) -> None:
    sys.modules.pop("antigravity", None)
    with pytest.raises(CorruptRecordError, match="is not registered in this process"):
        Pipeline().decode("k", "tagged", b'{"$type":["%b",["echo"]]}' % name.encode())
    assert "antigravity" not in sys.modules


def make_class(*names: str) -> Any:
    """Make a class of the same name at each call, as a cell of a notebook that runs again does."""
    cls = make_dataclass("Local", [(name, int) for name in names])
    cls.__module__ = __name__
    return register(cls)


def test_a_class_that_is_defined_again_replaces_the_first() -> None:
    first = make_class("x")
    payload = encode_tagged(first(1))
    second = make_class("x")
    assert type(TaggedJson().decode(payload)) is second
    assert TaggedJson().encode(first(1)) is None
    assert find_shape(second) is not None
    assert find_shape(first) is None


def test_a_record_of_a_class_with_other_fields_is_refused() -> None:
    payload = encode_tagged(make_class("x")(1))
    without_schema = payload[: payload.rindex(b",")] + b"]}"
    assert TaggedJson().decode(without_schema) == TaggedJson().decode(payload)
    make_class("x", "y")
    with pytest.raises(ChangedClassError, match=r"Local has changed"):
        TaggedJson().decode(payload)
    with pytest.raises(ChangedClassError, match=r"must have the fields \['x', 'y'\]"):
        TaggedJson().decode(without_schema)


@attrs.define
class Slotted:
    x: int
    _y: Any = attrs.field(default=0, eq=False)


@attrs.frozen(slots=False)  # pyright: ignore[reportGeneralTypeIssues]  # attrs permits it
class Derived(Slotted):
    z: list[Slotted] = attrs.field(factory=list)


@attrs.frozen(cache_hash=True)
class Hashed:
    x: int


def test_attrs_classes_are_restored() -> None:
    register_annotation(list[Slotted | Derived | Hashed])
    derived = Derived(1, 2, [Slotted(3, (4,))])
    derived.__dict__["note"] = "beside the fields"
    for value in (Slotted(1, {2}), derived):
        assert_round_trip(value)
    with pytest.raises(NotExactError, match="keeps its hash"):
        encode_tagged(Hashed(1))


class Failure(Exception):  # noqa: N818
    pass


@dataclass
class DataFailure(Exception):  # noqa: N818
    x: int


class Plain:
    pass


@pytest.mark.parametrize("cls", [int, Plain, Failure, DataFailure, tuple, 3, "Answer", list[int]])
def test_the_error_of_register_says_which_classes_are_accepted(cls: Any) -> None:
    with pytest.raises(
        TypeError, match=r"^cls must be a dataclass, .* derives from no other C type; got "
    ):
        register(cls)


class Found(NamedTuple):
    x: int


@dataclass
class Node:
    children: list[Node]
    found: Found | None = None


class Kind(Enum):
    A = 1


class Row(TypedDict):
    kinds: Annotated[dict[str, Kind], {"unhashable": []}]


@dataclass
class Box(Generic[T]):
    content: T


class Under(NamedTuple):
    x: int


Ident = NewType("Ident", Under)


def has_registered(annotation: Any, *classes: type) -> bool:
    register_annotation(annotation)
    return all(find_shape(cls) is not None for cls in classes)


def test_every_class_in_an_annotation_is_registered() -> None:
    assert find_shape(Node) is None
    assert has_registered(list[Node] | None, Node, Found)
    assert has_registered(AsyncIterator[Row], Kind)
    assert has_registered(Box[Ident], Box, Under)
    assert_round_trip(Node([Node([], Found(1))]))
    assert_round_trip(Box(Kind.A))


def test_an_instance_of_a_generic_alias_is_restored() -> None:
    register(Box)
    assert round_trip(Box[int](1)) == Box(1)
    assert choose_codec([Box[int](1)]) == "tagged"


class Lone(Enum):
    A = 1


@dataclass
class Argument:
    x: int


@dataclass
class Bound:
    x: int


B = TypeVar("B", bound=Bound)
by_argument: Any = Callable[[Argument], B]  # pyright: ignore[reportGeneralTypeIssues]


def test_literals_callables_and_type_variables_are_searched() -> None:
    assert has_registered(Literal[Lone.A, "b"], Lone)
    assert has_registered(by_argument, Argument, Bound)


@pytest.mark.parametrize(
    "annotation", [None, int, "Nowhere", "list[", ..., 3, ForwardRef("Nowhere"), Any]
)
def test_annotations_without_classes_do_no_harm(annotation: Any) -> None:
    register_annotation(annotation)


@register
@dataclass
class Parent:
    """Class that is registered before the class in its annotation is defined."""

    child: Later | None


@dataclass
class Later:
    parent: Parent | None = None


def test_a_class_that_is_defined_later_is_registered() -> None:
    assert_round_trip(Parent(Later(Parent(None))))
