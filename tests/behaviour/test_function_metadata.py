"""Whoever looks at a decorated function sees the function."""

from __future__ import annotations

import asyncio
import copy
import doctest
import functools
import inspect
import pickle
import sys
import typing
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached
from tests.support.function_kinds import CallCounter, Kind, each_kind

QUESTIONS = [
    inspect.iscoroutinefunction,
    inspect.isasyncgenfunction,
    inspect.isgeneratorfunction,
    asyncio.iscoroutinefunction,
    callable,
]


@each_kind
@pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction' is deprecated")
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.__name__)
def test_it_is_of_the_functions_kind(kind: Kind, question: Any) -> None:
    body = CallCounter().make_body()
    assert question(kind.decorate(body, backend="null")) is question(kind.build(body))


@each_kind
def test_it_keeps_name_words_parameters_and_attributes(kind: Kind) -> None:
    def original(question: str, *, model: str = "gpt") -> str:
        """Answers."""
        return question

    made = kind.build(original)
    made.price = 3
    decorated = cached(backend="null")(made)
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__", "price"):
        assert getattr(decorated, name) == getattr(made, name)
    for name in ("__code__", "__defaults__", "__kwdefaults__", "__globals__"):
        assert getattr(decorated, name) is getattr(made, name)
    assert inspect.signature(decorated) == inspect.signature(original)
    assert typing.get_type_hints(decorated) == typing.get_type_hints(original)
    assert decorated.__wrapped__ is made
    assert inspect.unwrap(decorated) is original
    assert repr(decorated) == f"<cached {made!r}>"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated at once")
def test_an_annotation_may_name_what_is_defined_later() -> None:
    later: dict[str, Any] = {}
    made = compile("def made(a: Answer) -> Answer: ...", "later", "exec", dont_inherit=True)
    exec(made, later)
    decorated = cached(backend="null")(later["made"])
    later["Answer"] = str
    assert typing.get_type_hints(decorated) == {"a": str, "return": str}


@each_kind
def test_an_attribute_that_is_not_there_is_named(kind: Kind) -> None:
    decorated = kind.decorate(CallCounter().make_body(), backend="null")
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        decorated.nonsense  # noqa: B018 - found while it is looked for
    decorated.nonsense = 1
    assert decorated.nonsense == 1


@each_kind
async def test_another_decorator_goes_on_top(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)

    @functools.wraps(count)
    def on_top(*args: Any, **kwargs: Any) -> Any:
        return count(*args, **kwargs)

    assert [await kind.get_result(on_top("x")), await kind.get_result(on_top(a="x"))] == [1, 1]
    assert inspect.signature(on_top) == inspect.signature(count)
    assert on_top.__name__ == "count"
    assert on_top.__wrapped__ is count


@each_kind
async def test_another_decorator_goes_below(kind: Kind, memory: CacheManager) -> None:
    def fetch(a: int, b: int = 2) -> int:
        return a + b

    decorated = kind.decorate(fetch, cache=memory)  # which wraps `fetch`
    assert await kind.get_result(decorated(1)) == 3
    assert decorated.cache_key(1) == decorated.cache_key(a=1, b=2)


@each_kind
async def test_a_decorated_function_is_decorated_again(kind: Kind, memory: CacheManager) -> None:
    counted = CallCounter()
    inner = kind.decorate(counted.make_body(), cache=memory, version="inner")
    outer = cached(cache=memory, version="outer")(inner)
    assert [await kind.get_result(outer("x")) for _ in range(2)] == [1, 1]
    assert (inner.cache_info(), outer.cache_info()) == ((0, 1), (1, 1))


@each_kind
async def test_a_partial_of_it_calls_it(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    assert await kind.get_result(functools.partial(count, "x")()) == 1
    assert await kind.get_result(count("x")) == 1


@cached(backend="null")
async def async_function() -> int:
    """Answers.

    >>> 6 * 7
    42
    """
    return 1


@cached(backend="null")
async def async_stream() -> AsyncIterator[int]:
    """Answers.

    >>> 6 * 7
    42
    """
    yield 1


@cached(backend="null")
def function() -> int:
    """Answers.

    >>> function()
    1
    """
    return 1


@cached(backend="null")
def stream() -> Iterator[int]:
    """Answers.

    >>> list(stream())
    [1]
    """
    yield 1


at_module_level = pytest.mark.parametrize(
    "decorated",
    [async_function, async_stream, function, stream],
    ids=lambda decorated: str(decorated.__name__),
)


@at_module_level
def test_pickle_and_copy_find_it_by_its_name(decorated: Any) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(decorated, protocol)) is decorated
    assert copy.copy(decorated) is decorated
    assert copy.deepcopy([decorated]) == [decorated]


@at_module_level
def test_its_examples_are_found_and_run(decorated: Any) -> None:
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    (test,) = finder.find(decorated, decorated.__name__, globs=dict(globals()))
    assert runner.run(test) == (0, 1)


def test_one_that_is_in_no_module_is_not_pickled() -> None:
    @cached(backend="null")
    def local() -> None: ...

    with pytest.raises((pickle.PicklingError, AttributeError), match="local"):
        pickle.dumps(local)


@at_module_level
def test_it_is_seen_in_its_module(decorated: Any) -> None:
    assert inspect.getmodule(decorated) is inspect.getmodule(test_it_is_seen_in_its_module)
    assert f"def {decorated.__name__}()" in inspect.getsource(inspect.unwrap(decorated))
    assert inspect.getdoc(decorated) == inspect.getdoc(decorated.__wrapped__)
