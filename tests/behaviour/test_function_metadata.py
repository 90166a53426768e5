"""Metadata of decorated functions: the same as that of the original function."""

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
def test_inspect_reports_the_kind_of_the_function(kind: Kind, question: Any) -> None:
    body = CallCounter().make_body()
    assert question(kind.decorate(body, backend="null")) is question(kind.build(body))


@each_kind
def test_name_docstring_parameters_and_attributes_are_kept(kind: Kind) -> None:
    def original(question: str, *, model: str = "gpt") -> str:
        """Answers."""
        return question

    function = kind.build(original)
    function.price = 3
    decorated = cached(backend="null")(function)
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__", "price"):
        assert getattr(decorated, name) == getattr(function, name)
    for name in ("__code__", "__defaults__", "__kwdefaults__", "__globals__"):
        assert getattr(decorated, name) is getattr(function, name)
    assert inspect.signature(decorated) == inspect.signature(original)
    assert typing.get_type_hints(decorated) == typing.get_type_hints(original)
    assert decorated.__wrapped__ is function
    assert inspect.unwrap(decorated) is original
    assert repr(decorated) == f"<cached {function!r}>"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated at once")
def test_an_annotation_may_name_a_class_defined_later() -> None:
    later: dict[str, Any] = {}
    code = compile("def made(a: Answer) -> Answer: ...", "later", "exec", dont_inherit=True)
    exec(code, later)
    decorated = cached(backend="null")(later["made"])
    later["Answer"] = str
    assert typing.get_type_hints(decorated) == {"a": str, "return": str}


@each_kind
def test_a_missing_attribute_raises_an_error_with_its_name(kind: Kind) -> None:
    decorated = kind.decorate(CallCounter().make_body(), backend="null")
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        decorated.nonsense  # noqa: B018 - the lookup must raise
    decorated.nonsense = 1
    assert decorated.nonsense == 1


@each_kind
async def test_another_decorator_may_be_applied_above(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)

    @functools.wraps(count)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return count(*args, **kwargs)

    assert [await kind.get_result(wrapper("x")), await kind.get_result(wrapper(a="x"))] == [1, 1]
    assert inspect.signature(wrapper) == inspect.signature(count)
    assert wrapper.__name__ == "count"
    assert wrapper.__wrapped__ is count


@each_kind
async def test_another_decorator_may_be_applied_below(kind: Kind, memory: CacheManager) -> None:
    def fetch(a: int, b: int = 2) -> int:
        return a + b

    decorated = kind.decorate(fetch, cache=memory)  # wraps `fetch`
    assert await kind.get_result(decorated(1)) == 3
    assert decorated.cache_key(1) == decorated.cache_key(a=1, b=2)


@each_kind
async def test_a_decorated_function_can_be_decorated_again(
    kind: Kind, memory: CacheManager
) -> None:
    counted = CallCounter()
    inner = kind.decorate(counted.make_body(), cache=memory, version="inner")
    outer = cached(cache=memory, version="outer")(inner)
    assert [await kind.get_result(outer("x")) for _ in range(2)] == [1, 1]
    assert (inner.cache_info()[:2], outer.cache_info()[:2]) == ((0, 1), (1, 1))


@each_kind
async def test_a_partial_calls_the_decorated_function(kind: Kind, memory: CacheManager) -> None:
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
def test_pickle_and_copy_find_the_function_by_its_name(decorated: Any) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(decorated, protocol)) is decorated
    assert copy.copy(decorated) is decorated
    assert copy.deepcopy([decorated]) == [decorated]


@at_module_level
def test_doctest_finds_and_runs_the_examples(decorated: Any) -> None:
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    (test,) = finder.find(decorated, decorated.__name__, globs=dict(globals()))
    assert runner.run(test) == (0, 1)


def test_a_local_function_cannot_be_pickled() -> None:
    @cached(backend="null")
    def local() -> None: ...

    with pytest.raises((pickle.PicklingError, AttributeError), match="local"):
        pickle.dumps(local)


@at_module_level
def test_inspect_finds_the_source_in_the_module(decorated: Any) -> None:
    assert inspect.getmodule(decorated) is inspect.getmodule(
        test_inspect_finds_the_source_in_the_module
    )
    assert f"def {decorated.__name__}()" in inspect.getsource(inspect.unwrap(decorated))
    assert inspect.getdoc(decorated) == inspect.getdoc(decorated.__wrapped__)
