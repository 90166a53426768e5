"""The four kinds of functions that can be decorated, made and called in the same way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

import pytest

from aiocache_pe import cached

Body = Callable[..., Any]


def _async_function(body: Body) -> Any:
    @wraps(body)
    async def function(*args: Any, **kwargs: Any) -> Any:
        return body(*args, **kwargs)

    return function


def _async_stream(body: Body) -> Any:
    @wraps(body)
    async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        yield body(*args, **kwargs)

    return stream


def _function(body: Body) -> Any:
    @wraps(body)
    def function(*args: Any, **kwargs: Any) -> Any:
        return body(*args, **kwargs)

    return function


def _stream(body: Body) -> Any:
    @wraps(body)
    def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
        yield body(*args, **kwargs)

    return stream


_MAKERS = {
    "async function": _async_function,
    "async stream": _async_stream,
    "function": _function,
    "stream": _stream,
}


@dataclass(frozen=True)
class Kind:
    """One of the kinds.

    Attributes:
        name: what it is called in a test's id.
    """

    name: str

    def build(self, body: Body) -> Any:
        """A function of this kind with the name and parameters of a plain one.

        A stream has one chunk: what the plain function returns.
        """
        return _MAKERS[self.name](body)

    def decorate(self, body: Body, **settings: Any) -> Any:
        """The same, decorated."""
        return cached(**settings)(self.build(body))

    @property
    def is_stream(self) -> bool:
        return "stream" in self.name

    def unwrap(self, told: Any) -> Any:
        """The result, of what ``ttl=`` and ``cache_if=`` are told: of a stream, its chunks."""
        return told[0] if self.is_stream else told

    async def get_result(self, called: Any) -> Any:
        """The result of a call, of this kind or of one of its verbs."""
        if self.name == "async stream" and hasattr(called, "__aiter__"):
            (result,) = [chunk async for chunk in called]
            return result
        if self.name == "stream" and hasattr(called, "__next__"):
            (result,) = called
            return result
        return await called if hasattr(called, "__await__") else called


KINDS = [Kind(name) for name in _MAKERS]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


class CallCounter:
    """A body that returns how often it was called for the same first argument."""

    def __init__(self) -> None:
        self.calls = list[Any]()

    def make_body(self) -> Body:
        """A function ``count(a, b=2, *, session=None)``."""

        def count(a: Any = None, b: Any = 2, *, session: Any = None) -> int:
            self.calls.append(a)
            return len(self.calls)

        return count
