"""The four kinds of functions that can be decorated, behind one interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

import pytest

from aiocache_pe import cached

Body = Callable[..., Any]


def _make_async_function(body: Body) -> Any:
    @wraps(body)
    async def function(*args: Any, **kwargs: Any) -> Any:
        return body(*args, **kwargs)

    return function


def _make_async_stream(body: Body) -> Any:
    @wraps(body)
    async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        yield body(*args, **kwargs)

    return stream


def _make_function(body: Body) -> Any:
    @wraps(body)
    def function(*args: Any, **kwargs: Any) -> Any:
        return body(*args, **kwargs)

    return function


def _make_stream(body: Body) -> Any:
    @wraps(body)
    def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
        yield body(*args, **kwargs)

    return stream


_MAKERS = {
    "async function": _make_async_function,
    "async stream": _make_async_stream,
    "function": _make_function,
    "stream": _make_stream,
}


@dataclass(frozen=True)
class Kind:
    """A kind of function.

    Attributes:
        name: the name of the kind in the ids of tests.
    """

    name: str

    def build(self, body: Body) -> Any:
        """Return a function of this kind with the name and parameters of a plain function.

        A stream has one chunk: the result of the plain function.
        """
        return _MAKERS[self.name](body)

    def decorate(self, body: Body, **settings: Any) -> Any:
        """Return a decorated function of this kind with the name and parameters of ``body``."""
        return cached(**settings)(self.build(body))

    @property
    def is_stream(self) -> bool:
        return "stream" in self.name

    def unwrap(self, argument: Any) -> Any:
        """Return the result of the plain function from the argument of ``ttl=``, ``cache_if=``.

        The argument is the result itself, or for a stream the list of its chunks.
        """
        return argument[0] if self.is_stream else argument

    async def get_result(self, called: Any) -> Any:
        """Return the result of a call of the function or of one of its methods."""
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
    """A plain function that counts its calls, and the first arguments of these calls."""

    def __init__(self) -> None:
        self.calls = list[Any]()

    def make_body(self) -> Body:
        """Return a function ``count(a, b=2, *, session=None)`` that returns the number of calls."""

        def count(a: Any = None, b: Any = 2, *, session: Any = None) -> int:
            self.calls.append(a)
            return len(self.calls)

        return count
