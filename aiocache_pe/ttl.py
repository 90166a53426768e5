"""Times to live: what a user may write, and what it means in seconds."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from aiocache_pe.exceptions import ConfigurationError, InvalidTTLError

TTL = float | timedelta | str | None
"""Seconds, a ``timedelta``, a string such as ``"1h30m"``, or ``None`` for ever."""

Duration = float | timedelta | str
"""The same for a length of time that is not for ever."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_ACCEPTED = (
    "accepted are seconds as a positive number, a timedelta, "
    'a string such as "90s", "30m", "1h30m" or "7d" (units ms, s, m, h, d, w), and None for ever'
)


def ttl_seconds(ttl: TTL) -> float | None:
    """Read a time to live.

    Args:
        ttl: seconds, a ``timedelta``, a string of numbers with units, or ``None``.

    Returns:
        Seconds, more than zero, or ``None`` for ever (also for ``math.inf``).

    Raises:
        InvalidTTLError: it is zero, negative, NaN, or of no known form.

    Example:
        >>> ttl_seconds("1h30m")
        5400.0
        >>> ttl_seconds(None) is None
        True
    """
    if ttl is None:
        return None
    if isinstance(ttl, timedelta):
        seconds = ttl.total_seconds()
    elif isinstance(ttl, str):
        seconds = _parse(ttl)
    elif isinstance(ttl, int | float) and not isinstance(ttl, bool):
        seconds = _as_float(ttl)
    else:
        raise InvalidTTLError(f"ttl {ttl!r} is a {type(ttl).__name__}; {_ACCEPTED}")
    if math.isnan(seconds) or seconds <= 0:
        raise InvalidTTLError(f"ttl {ttl!r} is not a positive duration; {_ACCEPTED}")
    return None if math.isinf(seconds) else seconds


def duration(name: str, value: object) -> float | None:
    """Read a setting that is a length of time.

    Args:
        name: the setting's name, for the error.
        value: seconds, a ``timedelta``, or a string of numbers with units.

    Returns:
        Seconds, more than zero; ``None`` for ``math.inf``.

    Raises:
        ConfigurationError: it is none.

    Example:
        >>> duration("soft_timeout", "500ms")
        0.5
    """
    if isinstance(value, int | Duration):
        try:
            return ttl_seconds(value)
        except InvalidTTLError:
            pass
    raise ConfigurationError(
        f"{name}={value!r:.80}: accepted are seconds as a positive number, a timedelta, and "
        'a string such as "500ms", "30s" or "1h30m" (units ms, s, m, h, d, w)'
    )


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an int beyond all floats, and so for ever
        return math.inf if number > 0 else -math.inf


def _parse(text: str) -> float:
    position, total = 0, 0.0
    stripped = text.strip().lower()
    while match := _PART.match(stripped, position):
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not stripped or position != len(stripped):
        raise InvalidTTLError(f"ttl {text!r} is not a duration; {_ACCEPTED}")
    return total
