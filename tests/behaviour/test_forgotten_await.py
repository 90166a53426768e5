"""A missing ``await`` and one too many: the warning and the error name the function."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached, cached_batch

shared = CacheManager("memory")


@cached(cache=shared)
async def ask(prompt: str) -> str:
    return prompt


class Service:
    @cached(cache=shared)
    async def ask(self, prompt: str) -> str:
        return prompt

    @classmethod
    @cached(cache=shared)
    async def make(cls, prompt: str) -> str:
        return prompt

    @cached(cache=shared)
    def ask_at_once(self, prompt: str) -> str:
        return prompt


@cached_batch(cache=shared)
async def embed(texts: list[str]) -> list[str]:
    return texts


@cached(cache=shared)
def double(number: int) -> int:
    return 2 * number


CALLS: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
    "ask": lambda: ask("Hello"),
    "ask.refresh": lambda: ask.refresh("Hello"),
    "ask.invalidate": lambda: ask.invalidate("Hello"),
    "ask.cache_clear": ask.cache_clear,
    "Service.ask": lambda: Service().ask("Hello"),
    "Service.make": lambda: Service.make("Hello"),
    "embed": lambda: embed(["Hello"]),
}


@pytest.mark.parametrize("name", CALLS)
async def test_the_warning_about_a_missing_await_names_the_function(name: str) -> None:
    call = CALLS[name]()
    with pytest.warns(RuntimeWarning, match=f"^coroutine '{name}' was never awaited"):
        del call


async def test_a_named_coroutine_function_is_called_as_before() -> None:
    assert inspect.iscoroutinefunction(ask)
    assert [await ask("Hi"), await Service().ask("Hi"), await embed(["Hi"])] == ["Hi", "Hi", ["Hi"]]
    assert type(ask).__name__ == "AsyncFunction"


async def test_a_plain_cached_function_that_is_awaited_says_what_to_do() -> None:
    message = r"double\(\) is a plain function, and so is its cached form: call it without await"
    with pytest.raises(TypeError, match=message):
        await double(1)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    with pytest.raises(TypeError, match=message):
        await double(number=2)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    arguments: Any = (3,)
    with pytest.raises(TypeError, match=message):
        await double(*arguments)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    with pytest.raises(TypeError, match=r"Service.ask_at_once\(\) is a plain function"):
        await Service().ask_at_once("Hi")  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]


async def test_other_calls_beside_an_await_are_not_taken_for_one() -> None:
    async def get(value: int) -> int:
        return value

    assert await get(double(10)) == 20
    assert [await get(each) for each in map(double, (11, 12))] == [22, 24]
    assert partial(double, 13)() == 26
    result = double(14)
    await asyncio.sleep(0)
    assert result == 28
