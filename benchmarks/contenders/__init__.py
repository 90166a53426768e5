"""Contenders: one module per library, with a function ``open_...`` for each kind of store.

Each function takes a `benchmarks.job.Job` and returns a context manager that yields a
`Store`. The context manager is asynchronous if the contender is. A module imports its library
at the top and is loaded in a child process only, so a missing library fails one line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.payload import COMPLETION

KEYS_READ = 4000


def _reject(*_arguments: object, **_keywords: object) -> Any:
    raise NotImplementedError("this contender does not offer the operation")


@dataclass(frozen=True, slots=True)
class Store:
    """Functions of one contender's open and empty cache.

    The functions of asynchronous contenders are awaited, those of blocking ones are not.

    Attributes:
        decorate: decorator for a function, with a lifetime.
        get: returns the value of a key.
        put: stores `value` under a key.
        fill: stores `value` under every key of a list.
        get_many: returns the values of a list of keys.
        make_key: returns the cache key of a chat call.
        value: value that is stored and read.
        working_set: largest number of different keys that are read.
    """

    decorate: Callable[..., Any] = _reject
    get: Callable[..., Any] = _reject
    put: Callable[..., Any] = _reject
    fill: Callable[..., Any] = _reject
    get_many: Callable[..., Any] = _reject
    make_key: Callable[..., str] = _reject
    value: object = field(default_factory=lambda: COMPLETION)
    working_set: int = KEYS_READ
