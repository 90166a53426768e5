"""Times to live and other durations: their accepted forms, and their value in seconds."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from aiocache_pe.exceptions import ConfigurationError, InvalidTTLError

TTL = float | timedelta | str | None
"""Seconds, a ``timedelta``, a string such as ``"1h30m"`` or ``"2 days"``, or ``None`` for ever."""

Duration = float | timedelta | str
"""Seconds, a ``timedelta``, or a string such as ``"1h30m"``."""

_UNITS = {
    name: seconds
    for seconds, names in {
        0.001: "ms millisecond milliseconds",
        1.0: "s sec secs second seconds",
        60.0: "m min mins minute minutes",
        3600.0: "h hr hrs hour hours",
        86400.0: "d day days",
        604800.0: "w week weeks",
    }.items()
    for name in names.split()
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
_FORMS = '"90s", "5min", "1h30m" or "2 days" (units ms, s, m, h, d, w, or their names in English)'


def parse_ttl(ttl: TTL) -> float | None:
    """Return a time to live in seconds, more than zero; ``None`` for no expiry or ``math.inf``.

    Raises:
        InvalidTTLError: the value is zero, negative, NaN, or of no accepted form.

    Example:
        >>> parse_ttl("1h30m"), parse_ttl("2 days"), parse_ttl(None)
        (5400.0, 172800.0, None)
    """
    if ttl is None:
        return None
    try:
        return _to_seconds(ttl)
    except ValueError:
        raise InvalidTTLError(
            "ttl must be a positive number of seconds, a timedelta, a string such as "
            f"{_FORMS}, or None for no expiry; got {type(ttl).__name__}: {ttl!r:.80}"
        ) from None


def parse_duration(name: str, value: object) -> float | None:
    """Return the duration of the setting ``name`` in seconds; ``None`` for ``math.inf``.

    Raises:
        ConfigurationError: the value is zero, negative, NaN, or of no accepted form.

    Example:
        >>> parse_duration("soft_timeout", "500ms")
        0.5
    """
    try:
        return _to_seconds(value)
    except ValueError:
        raise ConfigurationError(
            f"{name} must be a positive number of seconds, a timedelta, or a string such as "
            f"{_FORMS}; got {type(value).__name__}: {value!r:.80}"
        ) from None


def _to_seconds(value: object) -> float | None:
    """Return seconds; ``None`` if infinite. Raises `ValueError` for any other value."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        seconds = _parse_text(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = _to_float(value)
    else:
        raise ValueError  # noqa: TRY004 - the callers render one message for all values
    if math.isnan(seconds) or seconds <= 0:
        raise ValueError
    return None if math.isinf(seconds) else seconds


def _to_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an int beyond the range of floats
        return math.inf if number > 0 else -math.inf


def _parse_text(text: str) -> float:
    position, total = 0, 0.0
    stripped = text.strip().lower()
    while (match := _PART.match(stripped, position)) and match[2] in _UNITS:
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not stripped or position != len(stripped):
        raise ValueError
    return total
