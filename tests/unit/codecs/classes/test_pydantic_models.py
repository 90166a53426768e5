"""Pydantic models are restored with all of their state and without validation."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any, Generic, TypeVar

import pytest
from pydantic import (
    AnyUrl,
    BaseModel,
    ConfigDict,
    Field,
    FileUrl,
    HttpUrl,
    PrivateAttr,
    RootModel,
    field_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass

from aiocache_pe.codecs.classes.registry import find_shape, register, register_annotation
from aiocache_pe.codecs.tagged_json import TaggedJson, encode_tagged
from aiocache_pe.exceptions import CorruptRecordError
from tests.support.exactness import assert_round_trip, choose_codec, round_trip

T = TypeVar("T")


class Part(BaseModel):
    name: str = Field(alias="Name", default="n")
    sizes: tuple[int, ...] = ()


@register
class Analysis(BaseModel):
    score: float
    parts: list[Part] = []
    when: datetime | None = None
    _visits: int = PrivateAttr(default=0)

    @cached_property
    def total(self) -> float:
        return self.score * 2


@register
class Open(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    x: int = 0


@register
class Numbers(RootModel[list[int]]):
    pass


@register
class Validated(BaseModel):
    x: int

    @field_validator("x")
    @classmethod
    def even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("odd")
        return value


class Wrapper(BaseModel, Generic[T]):
    content: T


@register
@pydantic_dataclass
class Data:
    x: int


def test_a_model_is_restored() -> None:
    value = Analysis(score=0.5, parts=[Part(Name="a", sizes=(1, 2))], when="2025-01-01T00:00:00Z")  # type: ignore[arg-type]
    assert_round_trip(value)
    assert_round_trip(Analysis(score=1))


def test_a_model_with_all_fields_given_is_readable() -> None:
    assert b'.Validated",{"x":2},"' in encode_tagged(Validated(x=2))


def test_private_attributes_and_cached_properties_are_kept() -> None:
    value = Analysis(score=0.5)
    value._visits = 3
    assert value.total == 1.0
    restored = round_trip(value)
    assert restored._visits == 3
    assert_round_trip(value)


def test_the_set_of_given_fields_is_kept() -> None:
    assert round_trip(Analysis(score=1)).model_fields_set == {"score"}
    assert round_trip(Analysis(score=1)).model_dump(exclude_unset=True) == {"score": 1.0}


def test_extras_are_kept_and_cannot_be_mistaken_for_tags() -> None:
    extras: dict[str, Any] = {"$type": [1], "y": (1, 2)}
    assert_round_trip(Open(**extras))
    assert_round_trip(Open.model_validate({"$tuple": [1]}))
    assert_round_trip(Open())


def test_root_models_and_pydantic_dataclasses_are_restored() -> None:
    assert_round_trip(Numbers([1, 2]))
    assert_round_trip(Data(1))


def test_a_model_that_would_not_validate_is_restored() -> None:
    assert_round_trip(Validated.model_construct(x=1))
    assert_round_trip(Part.model_construct(name=5, sizes="not a tuple"))


def test_a_model_without_one_of_its_fields_is_refused() -> None:
    assert TaggedJson().encode(Validated.model_construct()) is None


def test_each_parameter_of_a_generic_model_makes_another_class() -> None:
    register_annotation(Wrapper[int] | Wrapper[Part])
    assert_round_trip(Wrapper[int](content=1))
    assert_round_trip(Wrapper[Part](content=Part()))
    assert find_shape(Wrapper[str]) is None


def test_a_model_with_its_own_getstate_is_refused() -> None:
    class Custom(BaseModel):
        def __getstate__(self) -> dict[Any, Any]:
            return {}

    with pytest.raises(TypeError, match=r"^cls must be a dataclass"):
        register(Custom)


def test_a_record_of_a_model_with_other_fields_is_refused() -> None:
    payload = encode_tagged(Validated(x=2)).replace(b'"x"', b'"z"')
    with pytest.raises(CorruptRecordError, match=r"must have the fields \['x'\]"):
        TaggedJson().decode(payload)


class Tree(BaseModel):
    children: list[Tree] = []


def test_a_model_that_mentions_itself_is_restored() -> None:
    register_annotation(Tree)
    assert_round_trip(Tree(children=[Tree(), Tree(children=[Tree()])]))


def test_pydantic_urls_are_restored() -> None:
    for value in (HttpUrl("https://example.org/a?b#c"), AnyUrl("x://y"), FileUrl("file:///a")):
        assert_round_trip({"source": [value]})
        assert choose_codec(value) == "tagged"


def test_a_subclass_of_a_pydantic_url_has_no_tag() -> None:
    class Own(HttpUrl): ...

    assert TaggedJson().encode([Own("https://example.org")]) is None
