"""Receivers of methods: no object gets the answer of another object."""

from __future__ import annotations

import enum
import functools
import socket
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic
import pytest

from aiocache_pe.exceptions import UnstableIdentityError
from aiocache_pe.keys.call_key import CallKey
from aiocache_pe.keys.value_parts import register_identity


class Asked:
    def ask(self, question: str) -> Any: ...


class Stateless(Asked): ...


class OtherStateless(Asked): ...


class EmptySlots(Asked):
    __slots__ = ("model",)


class FullSlots(EmptySlots):
    def __init__(self) -> None:
        self.model = "small"


class Stateful(Asked):
    def __init__(self, model: str = "small") -> None:
        self.model = model


class Keyed(Stateful):
    def __cache_key__(self) -> str:
        return self.model


class Registered(Stateful): ...


class DerivedRegistered(Registered): ...


register_identity(Registered, lambda each: each.model)


@dataclass
class Data(Asked):
    model: str = "small"
    client: Any = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Frozen(Asked):
    model: str
    limits: tuple[int, ...] = ()


class DerivedData(Data):
    def __init__(self, model: str, prompt: str) -> None:
        super().__init__(model)
        self.prompt = prompt

    @functools.cached_property
    def length(self) -> int:
        return len(self.prompt)


@attrs.define
class Attrs(Asked):
    model: str
    client: Any = attrs.field(default=None, eq=False)


class Struct(msgspec.Struct):
    model: str

    def ask(self, question: str) -> Any: ...


class Pydantic(pydantic.BaseModel):
    model: str

    def ask(self, question: str) -> Any: ...


class OpenPydantic(Pydantic, extra="allow"): ...


class Tuple(NamedTuple):
    model: str

    def ask(self, question: str) -> Any: ...


class Number(int, Asked): ...


class Text(str, Asked): ...


class Member(Asked, enum.Enum):
    ONE = 1
    TWO = 2


class Holder(Asked, socket.socket): ...


class Failure(Asked, Exception):  # noqa: N818 - not an error of a test
    ...


def make_key(receiver: Any, question: str = "Why?") -> str:
    """Return the key of a method's call, when it was made for the third time."""
    return [_find_call_key(receiver).make_key((receiver, question), {}) for _ in range(3)][-1]


def _find_call_key(receiver: Any) -> CallKey:
    return _make_call_key(receiver.ask.__func__)


@functools.cache
def _make_call_key(function: Callable[..., Any]) -> CallKey:
    return CallKey(function, prefix="")


DIFFERENT = [
    (Stateless, OtherStateless),
    (lambda: Keyed("a"), lambda: Keyed("b")),
    (lambda: Registered("a"), lambda: Registered("b")),
    (lambda: Registered("a"), lambda: DerivedRegistered("a")),
    (lambda: Data("a"), lambda: Data("b")),
    (lambda: Frozen("a"), lambda: Frozen("a", (1,))),
    (lambda: DerivedData("a", "b"), lambda: DerivedData("a", "c")),
    (lambda: Attrs("a"), lambda: Attrs("b")),
    (lambda: Struct("a"), lambda: Struct("b")),
    (lambda: Pydantic(model="a"), lambda: Pydantic(model="b")),
    (lambda: OpenPydantic(model="a"), lambda: OpenPydantic(model="a", other=1)),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    (lambda: Tuple("a"), lambda: Tuple("b")),
    (lambda: Number(1), lambda: Number(2)),
    (lambda: Text("a"), lambda: Text("b")),
    (lambda: Member.ONE, lambda: Member.TWO),
]


@pytest.mark.parametrize(("make", "make_other"), DIFFERENT)
def test_receivers_with_different_identities_have_different_keys(
    make: Callable[[], Any], make_other: Callable[[], Any]
) -> None:
    for _ in range(3):
        assert make_key(make()) == make_key(make())
        assert make_key(make_other()) == make_key(make_other())
        assert make_key(make()) != make_key(make_other())
        assert make_key(make()) != make_key(make(), "How?")


def test_fields_that_do_not_count_are_no_part_of_the_key() -> None:
    assert make_key(Data("a", object())) == make_key(Data("a"))
    assert make_key(Attrs("a", object())) == make_key(Attrs("a"))
    derived = DerivedData("a", "b")
    assert derived.length == 1
    assert make_key(derived) == make_key(DerivedData("a", "b"))


def test_a_changed_object_has_another_key() -> None:
    for receiver in (Data("a"), Attrs("a"), Struct("a"), Pydantic(model="a"), Keyed("a")):
        before = make_key(receiver)
        receiver.model = "b"
        assert make_key(receiver) != before
        receiver.model = "a"
        assert make_key(receiver) == before


@pytest.mark.parametrize(
    "make",
    [
        *(Stateful, FullSlots, Holder, Failure),
        lambda: Data(Stateful()),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ],
)
def test_a_receiver_without_identity_is_refused_with_every_way_out(make: Callable[[], Any]) -> None:
    receiver = make()
    with pytest.raises(UnstableIdentityError) as caught:
        make_key(receiver)
    message = str(caught.value)
    name = "Stateful" if isinstance(receiver, Data) else type(receiver).__name__
    for part in (
        *("self", f".{name}, which", 'ignore=["self"]', "key=", "__cache_key__()"),
        f"register_identity({name}, function)",
    ):
        assert part in message
    if isinstance(receiver, Holder):
        receiver.close()


def test_an_instance_that_gets_an_attribute_is_refused() -> None:
    receiver = Stateless()
    make_key(receiver)
    receiver.model = "a"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(UnstableIdentityError):
        make_key(receiver)


def test_an_instance_with_unset_slots_counts_by_its_class() -> None:
    assert make_key(EmptySlots()) == make_key(EmptySlots())


def test_constants_of_the_class_that_the_method_reads_count() -> None:
    class Base:
        prompt = "a"
        other = "b"

        def ask(self, question: str) -> Any:
            return self.prompt + question

    class Derived(Base):
        prompt = "c"

    class Same(Base):
        other = "d"

    call_key = CallKey(Base.ask, prefix="")
    keys = [call_key.make_key((each(), "Why?"), {}) for each in (Base, Derived, Same)]
    assert len(set(keys)) == 3


def test_classes_of_one_name_count_by_their_members() -> None:
    def make(model: str) -> Any:
        class Local:
            name = "local"

            def ask(self, question: str) -> Any:
                return self._call(question)

            def _call(self, question: str) -> Any:
                return model, question

            @classmethod
            def create(cls) -> Any: ...

        return Local

    one, again, other = make("a"), make("a"), make("b")
    assert make_key(one()) == make_key(again()) != make_key(other())
    keys = [CallKey(each.create.__func__, prefix="").make_key((each,), {}) for each in (one, other)]
    assert keys[0] != keys[1]
    other.client = object()
    with pytest.raises(UnstableIdentityError, match=r"self is a .*Local, which"):
        _make_call_key.__wrapped__(make("c").ask).make_key((_with_client(make("c"))(), "Why?"), {})


def _with_client(cls: Any) -> Any:
    cls.client = object()
    return cls


def test_the_first_argument_of_a_staticmethod_is_an_ordinary_argument() -> None:
    class Tools:
        @staticmethod
        def ask(option: Any) -> Any: ...

    call_key = CallKey(Tools.ask, prefix="")
    assert len({call_key.make_key((each,), {}) for each in (1, "1", 1.0, True)}) == 4
    with pytest.raises(UnstableIdentityError):
        call_key.make_key((Stateless(),), {})


def test_a_stateless_instance_is_no_ordinary_argument() -> None:
    def ask(option: Any) -> Any: ...

    for option in (Stateless(), object()):
        with pytest.raises(UnstableIdentityError):
            CallKey(ask, prefix="").make_key((option,), {})


def test_a_registered_class_may_be_an_argument() -> None:
    def ask(option: Any) -> Any: ...

    make = CallKey(ask, prefix="").make_key
    assert make((Registered("a"),), {}) != make((Registered("b"),), {})
    assert make(([Registered("a")],), {}) == make(([Registered("a")],), {})


@pytest.mark.parametrize(
    ("cls", "function", "message"),
    [
        ("Client", len, "cls must be a class; got 'Client'"),
        (Stateful, 5, "function must be a function; got int: 5"),
    ],
)
def test_a_wrong_registration_is_refused(cls: Any, function: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        register_identity(cls, function)


def test_an_attribute_of_a_derived_named_tuple_counts() -> None:
    class Derived(namedtuple("Base", "model")):  # noqa: PYI024 - a class with a dict
        def ask(self, question: str) -> Any: ...

    one, other = Derived("a"), Derived("a")
    other.prompt = "b"  # type: ignore[attr-defined]
    assert make_key(one) != make_key(other)
