"""Decorated functions in classes: keys of methods, and their attributes."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import weakref
from dataclasses import dataclass, field
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached
from tests.support.function_kinds import KINDS, CallCounter, Kind, each_kind


def make_service_class(kind: Kind, cache: CacheManager, **settings: Any) -> Any:
    """Return a class with one cached method, which returns the number of its runs."""
    counted = CallCounter()

    class Service:
        def __init__(self, name: str = "") -> None:
            if name:
                self.name = name

        def method(self, a: Any, b: int = 2) -> int:
            counted.calls.append(a)
            return len(counted.calls)

    Service.method = kind.decorate(Service.method, cache=cache, **settings)  # type: ignore[method-assign]
    return Service


@each_kind
async def test_instances_without_attributes_share_the_results_of_their_methods(
    kind: Kind, cache: CacheManager
) -> None:
    service = make_service_class(kind, cache)
    one, two = service(), service()
    assert [await kind.get_result(each.method(1)) for each in (one, two, one, two)] == [1] * 4
    assert await kind.get_result(two.method(2)) == 2
    assert await kind.get_result(one.method(a=2, b=2)) == 2
    assert await kind.get_result(service.method(one, 1)) == 1


@each_kind
async def test_instances_with_different_cache_keys_have_separate_results(
    kind: Kind, cache: CacheManager
) -> None:
    service = make_service_class(kind, cache)
    service.__cache_key__ = lambda self: self.name
    for _ in range(2):
        assert await kind.get_result(service("a").method(1)) == 1
        assert await kind.get_result(service("b").method(1)) == 2
    assert service("a").method.cache_key(1) != service("b").method.cache_key(1)


@each_kind
async def test_a_bound_method_has_the_same_keys_as_the_function_of_its_class(
    kind: Kind, cache: CacheManager
) -> None:
    service = make_service_class(kind, cache)
    service.__cache_key__ = lambda self: self.name
    method = service.method.__wrapped__
    bound = {
        name: cached(cache=cache, ignore=["b"])(method.__get__(service(name))) for name in "ab"
    }
    for _ in range(2):
        assert await kind.get_result(bound["a"](1)) == 1
        assert await kind.get_result(bound["b"](a=1, b=3)) == 2
    again = cached(cache=cache)(method.__get__(service("a")))
    assert again.cache_key(1) == service("a").method.cache_key(1)
    twice = [cached(cache=cache)(service(name).method).cache_key(1) for name in "ab"]
    assert len(set(twice)) == 2


@each_kind
async def test_a_subclass_has_its_own_results_of_an_inherited_method(
    kind: Kind, memory: CacheManager
) -> None:
    service = make_service_class(kind, memory)

    special = type("Special", (service,), {})
    own = type("Own", (service,), {"__cache_key__": lambda self: "own"})

    for _ in range(2):
        results = [await kind.get_result(each().method(1)) for each in (service, special, own)]
        assert results == [1, 2, 3]


async def test_an_overriding_method_may_call_that_of_its_base(memory: CacheManager) -> None:
    class Base:
        @cached(cache=memory)
        async def method(self, a: int) -> str:
            return f"base {a}"

    class Derived(Base):
        @cached(cache=memory)
        async def method(self: Any, a: int) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
            return f"derived, {await super().method(a)}"

    for _ in range(2):
        assert await Derived().method(1) == "derived, base 1"
        assert await Base().method(1) == "base 1"


@each_kind
async def test_instances_are_garbage_collected(kind: Kind, memory: CacheManager) -> None:
    service = make_service_class(kind, memory)
    one = service()
    assert [await kind.get_result(one.method(1)) for _ in range(2)] == [1, 1]
    assert one.method.cache_info()[:2] == (1, 1)
    died = weakref.ref(one)
    del one
    gc.collect()
    assert died() is None


@each_kind
@pytest.mark.parametrize("decorated_first", [True, False])
async def test_classmethods_and_staticmethods_in_either_order(
    kind: Kind, decorated_first: bool, memory: CacheManager
) -> None:
    calls = list[str]()

    def class_body(cls: type, a: int) -> str:
        calls.append("class")
        return f"{cls.__name__} {a}"

    def static_body(a: int) -> str:
        calls.append("static")
        return f"nothing {a}"

    def apply(decorator: Any, body: Any) -> Any:
        body.__qualname__ = f"Tools.{body.__name__}"
        decorate = cached(cache=memory)
        return (
            decorator(decorate(kind.build(body)))
            if decorated_first
            else decorate(decorator(kind.build(body)))
        )

    class Tools:
        class_method = apply(classmethod, class_body)
        static_method = apply(staticmethod, static_body)

    class Derived(Tools):
        pass

    for tools in (Tools, Tools(), Derived, Derived()):
        name = (tools if isinstance(tools, type) else type(tools)).__name__
        assert await kind.get_result(tools.class_method(1)) == f"{name} 1"
        assert await kind.get_result(tools.static_method(a=1)) == "nothing 1"
        assert await kind.get_result(tools.class_method(2)) == f"{name} 2"
    assert sorted(calls) == [*["class"] * 4, "static"]


async def test_a_classmethod_below_the_decorator_has_the_methods_of_a_decorated_function(
    memory: CacheManager,
) -> None:
    class Tools:
        @cached(cache=memory)
        @classmethod
        async def double(cls, a: int) -> int:
            return 2 * a

        @cached(cache=memory)
        @staticmethod
        def half(a: float) -> float:
            return a / 2

    assert await Tools.double(2) == 4
    assert await Tools.double.invalidate(2)
    assert await Tools().double.refresh(2) == 4
    assert Tools.double.cache_info()[:2] == (0, 2)
    assert Tools.half(2) == Tools().half(2) == 1.0
    assert Tools.half.cache_info()[:2] == (1, 1)
    assert Tools.half.invalidate(2)


@each_kind
async def test_a_class_with_slots_may_have_cached_methods(kind: Kind, memory: CacheManager) -> None:
    class Slotted:
        __slots__ = ("calls",)

        def __init__(self) -> None:
            self.calls = 0

        def method(self, a: int) -> int:
            self.calls += 1
            return a

    decorated = kind.decorate(Slotted.method, cache=memory, ignore=["self"])
    Slotted.method = decorated  # type: ignore[method-assign]
    one = Slotted()
    assert [await kind.get_result(one.method(5)) for _ in range(2)] == [5, 5]
    assert one.calls == 1


async def test_a_dataclass_may_have_cached_methods(memory: CacheManager) -> None:
    @dataclass
    class Model:
        name: str
        calls: list[str] = field(default_factory=list[str], compare=False)

        @cached(cache=memory)
        async def complete(self, prompt: str) -> str:
            self.calls.append(prompt)
            return f"{prompt}!"

    model = Model("small")
    assert [await model.complete("a"), await model.complete("a")] == ["a!", "a!"]
    assert model.calls == ["a"]
    assert await Model("large").complete("a") == "a!"
    assert Model.complete.cache_info()[:2] == (1, 2)


@each_kind
async def test_a_bound_method_passes_its_instance_to_invalidate_and_others(
    kind: Kind, memory: CacheManager
) -> None:
    service = make_service_class(kind, memory)
    service.__cache_key__ = lambda self: self.name
    one, two = service("a"), service("b")
    assert [await kind.get_result(each.method(1)) for each in (one, two)] == [1, 2]
    assert one.method.cache_key(1) == service.method.cache_key(one, 1)
    assert await kind.get_result(one.method.invalidate(1)) is True
    assert await kind.get_result(one.method.invalidate(1)) is False
    assert [await kind.get_result(each.method(1)) for each in (one, two)] == [3, 2]
    assert await kind.get_result(two.method.refresh(1)) == 4
    assert [await kind.get_result(each.method(1)) for each in (one, two)] == [3, 4]
    assert one.method.cache_info()[:2] == two.method.cache_info()[:2] == (3, 4)
    assert await kind.get_result(one.method.cache.exists(one.method.cache_key(1))) is True
    assert await kind.get_result(one.method.cache_clear()) == 2


@each_kind
async def test_access_through_the_class_returns_the_function(
    kind: Kind, memory: CacheManager
) -> None:
    service = make_service_class(kind, memory)
    function = vars(service)["method"]
    assert service.method is function
    assert service().method.__func__ is function
    assert function.__wrapped__.__name__ == "method"


@each_kind
def test_inspect_reports_a_bound_method(kind: Kind) -> None:
    service = make_service_class(kind, CacheManager("null"))
    one = service()
    plain = inspect.unwrap(one.method)
    assert str(inspect.signature(one.method)) == "(a: 'Any', b: 'int' = 2) -> 'int'"
    assert one.method.__name__ == plain.__name__ == "method"
    assert one.method.__qualname__ == plain.__qualname__
    assert one.method.__self__ is one
    assert one.method.__doc__ is None
    assert "method" in repr(one.method)
    assert repr(one) in repr(one.method)


def test_bound_methods_are_equal_if_function_and_instance_are() -> None:
    service = make_service_class(KINDS[0], CacheManager("null"))
    one, two = service(), service()
    assert one.method == one.method
    assert hash(one.method) == hash(one.method)
    assert one.method != two.method
    assert one.method != "method"
    assert len({one.method, one.method, two.method}) == 2


def test_a_bound_method_supports_weak_references() -> None:
    method = make_service_class(KINDS[0], CacheManager("null"))().method
    assert weakref.ref(method)() is method


class Importable:
    """A class at module level, where pickle finds it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Importable)

    __hash__ = None  # type: ignore[assignment]

    @cached(backend="null")
    async def method(self, a: int) -> int:
        """Double a number."""
        return 2 * a


def test_a_bound_method_is_pickled_with_its_instance() -> None:
    one = Importable()
    for travelled in (pickle.loads(pickle.dumps(one.method)), copy.deepcopy(one.method)):
        assert travelled.__func__ is Importable.method
        assert travelled.__self__ == one
        assert travelled.__self__ is not one
    assert one.method.__doc__ == "Double a number."


@each_kind
def test_a_missing_attribute_raises_an_error_with_its_name(kind: Kind) -> None:
    method = make_service_class(kind, CacheManager("null"))().method
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        method.nonsense  # noqa: B018 - the lookup must raise
