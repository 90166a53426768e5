"""Values that many arguments refuse, and what each says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiocache_pe import ConfigurationError, InvalidKeyError, InvalidTTLError

LONG_TEXT = "x" * 70_000


@dataclass(frozen=True)
class Case:
    """A call that must fail.

    Attributes:
        call: how it is shown, and with ``value`` in it what is evaluated.
        value: the wrong value.
        error: what is raised.
        says: a part of its message.
    """

    call: str
    value: Any
    error: type[Exception]
    says: str

    def describe(self) -> str:
        value = repr(self.value)
        if callable(self.value) and hasattr(self.value, "__name__"):
            value = self.value.__name__
        return self.call.replace("value", value if len(value) < 40 else f"{value[:20]}…")


def make_cases(call: str, *rows: tuple[Any, type[Exception], str]) -> list[Case]:
    return [Case(call, value, error, says) for value, error, says in rows]


BAD_KEYS: tuple[tuple[Any, type[Exception], str], ...] = (
    (7, TypeError, "a key is a str, not int: 7; make_cache_key() makes one of any arguments"),
    (b"k", TypeError, "a key is a str, not bytes"),
    (None, TypeError, "a key is a str, not NoneType"),
    (LONG_TEXT, InvalidKeyError, "key of 70000 characters, at most 65536 are accepted"),
)
BAD_TTLS: tuple[tuple[Any, type[Exception], str], ...] = (
    (-1, InvalidTTLError, "ttl -1 is not a positive duration; accepted are seconds"),
    (0, InvalidTTLError, "ttl 0 is not a positive duration"),
    (float("nan"), InvalidTTLError, "ttl nan is not a positive duration"),
    ("soon", InvalidTTLError, "ttl 'soon' is not a duration; accepted are"),
    (True, InvalidTTLError, "ttl True is a bool; accepted are"),
    ([1], InvalidTTLError, "ttl [1] is a list; accepted are"),
)
BAD_TAGS: tuple[tuple[Any, type[Exception], str], ...] = (
    ("news", TypeError, "tags are an iterable of str, not str: 'news'"),
    (7, TypeError, "tags are an iterable of str, not int"),
    ([7], TypeError, "a tag is a str, not int"),
    ([""], InvalidKeyError, "tag of 0 characters, at least 1 is accepted"),
)
BAD_KEY_LISTS: tuple[tuple[Any, type[Exception], str], ...] = (
    ("ab", TypeError, "keys are an iterable of str, not str"),
    (7, TypeError, "keys are an iterable of str, not int"),
    ([7], TypeError, "a key is a str, not int"),
)
BAD_INTS: tuple[tuple[Any, type[Exception], str], ...] = (
    ("1", TypeError, "is an int, not str: '1'"),
    (1.5, TypeError, "is an int, not float: 1.5"),
    (True, TypeError, "is an int, not bool: True"),
)
BAD_COUNTS: tuple[tuple[Any, type[Exception], str], ...] = (
    (0, ConfigurationError, "0 is not accepted; an int of at least 1, or None for no bound"),
    (-1, ConfigurationError, "-1 is not accepted; an int of at least 1"),
    ("10", ConfigurationError, "'10' is not accepted; an int of at least 1"),
    (True, ConfigurationError, "True is not accepted; an int of at least 1"),
)
