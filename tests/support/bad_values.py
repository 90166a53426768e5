"""Values that many arguments do not accept, with the errors that they raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiocache_pe import ConfigurationError, InvalidKeyError, InvalidTTLError

LONG_TEXT = "x" * 70_000


@dataclass(frozen=True)
class Case:
    """A call that must fail.

    Attributes:
        call: the call as source code that contains the name ``value``.
        value: the wrong value.
        error: the class of the exception.
        message: a part of the error's message.
    """

    call: str
    value: Any
    error: type[Exception]
    message: str

    def describe(self) -> str:
        value = repr(self.value)
        if callable(self.value) and hasattr(self.value, "__name__"):
            value = self.value.__name__
        return self.call.replace("value", value if len(value) < 40 else f"{value[:20]}…")


def make_cases(call: str, *rows: tuple[Any, type[Exception], str]) -> list[Case]:
    return [Case(call, value, error, message) for value, error, message in rows]


BAD_KEYS: tuple[tuple[Any, type[Exception], str], ...] = (
    (7, TypeError, "key must be a str; got int: 7; make_cache_key() makes a key of any arguments"),
    (b"k", TypeError, "key must be a str; got bytes"),
    (None, TypeError, "key must be a str; got NoneType"),
    (LONG_TEXT, InvalidKeyError, "key must have at most 65536 characters; got 70000"),
)
BAD_TTLS: tuple[tuple[Any, type[Exception], str], ...] = (
    (-1, InvalidTTLError, "ttl must be a positive number of seconds, a timedelta, a string"),
    (0, InvalidTTLError, "or None for no expiry; got int: 0"),
    (float("nan"), InvalidTTLError, "or None for no expiry; got float: nan"),
    ("soon", InvalidTTLError, "or None for no expiry; got str: 'soon'"),
    (True, InvalidTTLError, "or None for no expiry; got bool: True"),
    ([1], InvalidTTLError, "or None for no expiry; got list: [1]"),
)
BAD_TAGS: tuple[tuple[Any, type[Exception], str], ...] = (
    ("news", TypeError, "tags must be an iterable of str; got str: 'news'"),
    (7, TypeError, "tags must be an iterable of str; got int"),
    ([7], TypeError, "tag must be a str; got int"),
    ([""], InvalidKeyError, "tag must have at least 1 character; got ''"),
)
BAD_KEY_LISTS: tuple[tuple[Any, type[Exception], str], ...] = (
    ("ab", TypeError, "keys must be an iterable of str; got str"),
    (7, TypeError, "keys must be an iterable of str; got int"),
    ([7], TypeError, "key must be a str; got int"),
)
BAD_INTS: tuple[tuple[Any, type[Exception], str], ...] = (
    ("1", TypeError, "must be an int; got str: '1'"),
    (1.5, TypeError, "must be an int; got float: 1.5"),
    (True, TypeError, "must be an int; got bool: True"),
)
BAD_COUNTS: tuple[tuple[Any, type[Exception], str], ...] = (
    (0, ConfigurationError, "must be an int of at least 1, or None for no bound; got int: 0"),
    (-1, ConfigurationError, "must be an int of at least 1, or None for no bound; got int: -1"),
    ("10", ConfigurationError, "must be an int of at least 1, or None for no bound; got str: '10'"),
    (True, ConfigurationError, "must be an int of at least 1, or None for no bound; got bool"),
)
