"""Times to live and other durations: their accepted forms, and their value in seconds."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from aiocache_pe.exceptions import ConfigurationError, InvalidTTLError

TTL = float | timedelta | str | None
"""Seconds, a ``timedelta``, a string such as ``"1h30m"``, or ``None`` for no expiry."""

Duration = float | timedelta | str
"""Seconds, a ``timedelta``, or a string such as ``"1h30m"``."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")


def parse_ttl(ttl: TTL) -> float | None:
    """Return a time to live in seconds, more than zero; ``None`` for no expiry or ``math.inf``.

    Raises:
        InvalidTTLError: the value is zero, negative, NaN, or of no accepted form.

    Example:
        >>> parse_ttl("1h30m"), parse_ttl(None)
        (5400.0, None)
    """
    if ttl is None:
        return None
    try:
        return _to_seconds(ttl)
    except ValueError:
        raise InvalidTTLError(
            "ttl must be a positive number of seconds, a timedelta, a string such as "
            '"90s", "30m", "1h30m" or "7d" (units ms, s, m, h, d, w), or None for no expiry; '
            f"got {type(ttl).__name__}: {ttl!r:.80}"
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
            '"500ms", "30s" or "1h30m" (units ms, s, m, h, d, w); '
            f"got {type(value).__name__}: {value!r:.80}"
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
    while match := _PART.match(stripped, position):
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not stripped or position != len(stripped):
        raise ValueError
    return total
