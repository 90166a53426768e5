"""Exceptions of factories that are remembered for a time, so that a call need not fail again.

An exception is remembered in this process only. It is never encoded, so a store needs no pickle for
it. A remembered exception belongs to a computation: a change of the key, in any process, makes the
computation outdated and the exception forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from aiocache_pe.clock import Clock
from aiocache_pe.engine.computation import Computation
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.runtime.error_copies import copy_error
from aiocache_pe.ttl import parse_duration

ErrorLifetimes = Mapping[type[Exception], float]
"""How many seconds to remember the exceptions of some classes."""

_MAX_ERRORS = 1000
"""Exceptions of a cache, after which the oldest one is forgotten."""


class RememberedError(NamedTuple):
    """An exception, the computation that raised it, and the end of its lifetime."""

    error: Exception
    computation: Computation
    end: float


class RememberedErrors:
    """The exceptions that a cache remembers, by store key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._errors: dict[str, RememberedError] = {}

    def put(
        self, computation: Computation, error: BaseException, lifetimes: ErrorLifetimes
    ) -> None:
        """Remember the exception of a computation if its class has a lifetime.

        The nearest base class decides. An exception that cannot be copied is not remembered,
        because no two callers may have the same object.
        """
        seconds = next((lifetimes[cls] for cls in type(error).__mro__ if cls in lifetimes), None)
        copied = None if seconds is None else copy_error(error)
        if seconds is None or copied is error or not isinstance(copied, Exception):
            return
        _drop_frames(copied)
        self._errors.pop(computation.key, None)
        end = self._clock.monotonic() + seconds
        self._errors[computation.key] = RememberedError(copied, computation, end)
        if len(self._errors) > _MAX_ERRORS:
            with suppress(KeyError, RuntimeError, StopIteration):  # another thread does it
                del self._errors[next(iter(self._errors))]

    def find(self, key: str) -> RememberedError | None:
        """Return the exception of a key; ``None`` if there is none."""
        found = self._errors.get(key)
        if found is not None and found.end <= self._clock.monotonic():
            self.forget(key)
            return None
        return found

    def forget(self, key: str) -> None:
        """Forget the exception of a key."""
        self._errors.pop(key, None)


def parse_error_lifetimes(value: Any) -> ErrorLifetimes | None:
    """Return the lifetimes of exceptions in seconds.

    Raises:
        ConfigurationError: the value is not a mapping from classes of exceptions to durations.

    Example:
        >>> parse_error_lifetimes({LookupError: "1m"})
        {<class 'LookupError'>: 60.0}
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            "error_ttl must be a mapping from classes of exceptions to durations, such as "
            f'{{LookupError: "1m"}}; got {type(value).__name__}: {value!r:.80}'
        )
    for cls in value:
        if not isinstance(cls, type) or not issubclass(cls, Exception):
            raise ConfigurationError(
                f"error_ttl must have classes derived from Exception as keys; got {cls!r:.80}"
            )
    lifetimes = {cls: parse_duration("error_ttl", each) for cls, each in value.items()}
    return {cls: float("inf") if each is None else each for cls, each in lifetimes.items()}


def _drop_frames(error: BaseException) -> None:
    """Remove the tracebacks of an exception and its causes, which keep variables alive."""
    remaining, seen = [error], set[int]()
    while remaining:
        each = remaining.pop()
        if id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            inner = (each.__cause__, each.__context__, *getattr(each, "exceptions", ()))
            remaining += [one for one in inner if isinstance(one, BaseException)]
