"""Stored instances of a class that was edited since are misses, and both versions are kept."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached, register

Load = Callable[["Version"], ModuleType]


@dataclass(frozen=True)
class Version:
    """The source of a module with a class and an async function ``ask`` that returns it."""

    classes: str
    type: str = "int"
    field: str = ""
    annotation: str = " -> list[Item]"

    def __str__(self) -> str:
        field = f"\n    {self.field}" if self.field else ""
        return SOURCE.replace("CLASSES", self.classes) % {
            "id": f"id: {self.type}{field}",
            "type": self.type,
            "label": {"label": "a"} if self.field else {},
            "annotation": self.annotation,
        }


# The text of the function `ask` and its constants are the same in all versions.
SOURCE = """
from dataclasses import dataclass
from enum import Enum, Flag
from typing import *
import attrs
from msgspec import Struct
from pydantic import BaseModel
from pydantic.dataclasses import dataclass as checked_dataclass

T = TypeVar("T")

def make(**fields):
    return Item(**fields)

CLASSES

def build():
    return make(id=%(type)s(7), **%(label)s)

calls = 0

async def ask()%(annotation)s:
    global calls
    calls += 1
    return [build()]
"""
CLASSES = {
    "dataclass": "@dataclass\nclass Item:\n    %(id)s",
    "slots": "@dataclass(frozen=True, slots=True)\nclass Item:\n    %(id)s",
    "pydantic": "class Item(BaseModel):\n    %(id)s",
    "pydantic dataclass": "@checked_dataclass\nclass Item:\n    %(id)s",
    "attrs": "@attrs.define\nclass Item:\n    %(id)s",
    "attrs without slots": "@attrs.frozen(slots=False)\nclass Item:\n    %(id)s",
    "struct": "class Item(Struct):\n    %(id)s",
    "named tuple": "class Item(NamedTuple):\n    %(id)s",
    "generic": "@dataclass\nclass Item(Generic[T]):\n    %(id)s\n    part: T | None = None",
    "forward reference": "@dataclass\nclass Item:\n    %(id)s\n    next: 'Item | None' = None",
    "undefined name": "@dataclass\nclass Item:\n    %(id)s\n    next: 'Missing | None' = None",
    "inherited": "@dataclass\nclass A:\n    %(id)s\n@dataclass\nclass Item(A):\n    b: str = ''",
    "generic model": """
class Box(BaseModel, Generic[T]):
    %(id)s
    part: T
Item = Box[int]
def make(**fields): return Item(part=1, **fields)
""",
    "nested": """
@dataclass
class Part:
    %(id)s
class Item(BaseModel):
    parts: dict[str, list[Part]]
def make(**fields): return Item(parts={"a": [Part(**fields)]})
""",
    "typed dict in a dataclass": """
class Part(TypedDict, total=False):
    %(id)s
@dataclass
class Item:
    parts: list[Part]
def make(**fields): return Item([Part(**fields)])
""",
}
TYPED_DICT = {"typed dict": "class Item(TypedDict):\n    %(id)s"}
each_class = pytest.mark.parametrize("name", CLASSES)
each_change = pytest.mark.parametrize("change", [{"type": "str"}, {"field": "label: str"}], ids=str)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Return a function that imports the newest version of one module."""
    count = 0
    monkeypatch.setitem(sys.modules, "package_of_test", ModuleType("package_of_test"))

    def load_version(version: Version) -> ModuleType:
        nonlocal count
        count += 1
        path = tmp_path / f"version_{count}.py"
        path.write_text(str(version))
        spec = importlib.util.spec_from_file_location("package_of_test.items", path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load_version
    sys.modules.pop("package_of_test.items", None)


@pytest.fixture
async def files(cache_dir: Path) -> AsyncIterator[CacheManager]:
    async with CacheManager(directory=cache_dir) as cache:
        yield cache


async def count_calls(module: ModuleType, cache: CacheManager, **settings: Any) -> int:
    """Call the function of a module, check its result, and return the calls of its body."""
    before: int = module.calls
    found = await cached(cache=cache, **settings)(module.ask)()
    assert found == [module.build()]
    assert repr(found) == repr([module.build()])
    calls: int = module.calls - before
    return calls


@each_change
@pytest.mark.parametrize("name", [*CLASSES, *TYPED_DICT])
async def test_two_versions_of_a_class_keep_their_results_beside_each_other(
    name: str, change: Any, load: Load, files: CacheManager
) -> None:
    old = Version((CLASSES | TYPED_DICT)[name])
    new = replace(old, **change)
    calls = [await count_calls(load(each), files) for each in (old, old, new, new, old, new)]
    assert calls == [1, 0, 1, 0, 0, 0]
    assert (await files.get_stats()).errors == 0


@each_change
@each_class
async def test_an_instance_of_an_older_class_is_a_miss(
    name: str, change: Any, load: Load, files: CacheManager, caplog: pytest.LogCaptureFixture
) -> None:
    """With ``version``, both versions have one key."""
    old = Version(CLASSES[name])
    new = replace(old, **change)
    calls = [await count_calls(load(each), files, version=1) for each in (old, old, new, new, old)]
    assert calls == [1, 0, 1, 0, 1]
    assert (await files.get_stats()).errors == 0
    assert not [each for each in caplog.records if each.levelno > logging.INFO]


@each_change
@pytest.mark.parametrize("name", [name for name in CLASSES if name != "generic model"])
async def test_a_pickled_instance_of_an_older_class_is_a_miss(
    name: str, change: Any, load: Load, files: CacheManager
) -> None:
    """Without an annotation, only pickle can hold an instance."""
    old = Version(CLASSES[name], annotation="")
    new = replace(old, **change)
    calls = [await count_calls(load(each), files, version=1) for each in (old, old, new, new, old)]
    assert calls == [1, 0, 1, 0, 1]
    assert (await files.get_stats()).errors == 0


@pytest.mark.parametrize("annotation", ["", " -> list[Item]"])
@pytest.mark.parametrize(
    "change",
    [
        ("class Item(Enum):\n    A = 7", "class Item(Enum):\n    A = '7'", True),
        (
            "class Item(Enum):\n    A = 7\n    B = 8",
            "class Item(Enum):\n    A = 8\n    B = 7",
            True,
        ),
        (
            "class Item(Flag):\n    A = 1\n    B = 2",
            "class Item(Flag):\n    A = 2\n    B = 1",
            True,
        ),
        ("class Item(Enum):\n    A = 7", "class Item(Enum):\n    A = 7\n    B = 8", False),
        ("class Item(Enum):\n    A = 7\n    B = 8", "class Item(Enum):\n    B = 8", True),
    ],
)
async def test_a_member_of_an_enum_with_another_value_is_a_miss(
    change: tuple[str, str, bool], annotation: str, load: Load, files: CacheManager
) -> None:
    before, after, misses = change
    make = "\ndef make(id): return [*Item][0]"
    old = Version(before + make, annotation=annotation)
    new = replace(old, classes=after + make)
    calls = [await count_calls(load(each), files, version=1) for each in (old, old, new, new)]
    # A pickle does not tell which members it contains.
    assert calls == [1, 0, int(misses or not annotation), 0]


async def test_a_read_leaves_the_entry_of_another_version_alone(
    load: Load, files: CacheManager
) -> None:
    old = Version(CLASSES["dataclass"])
    module = load(old)
    register(module.Item)
    await files.set("item", module.Item(7))
    newer = load(replace(old, type="str"))
    register(newer.Item)
    for _ in range(2):
        assert await files.get("item", "a miss") == "a miss"
    module = load(old)
    register(module.Item)
    assert await files.get("item") == module.Item(7)
