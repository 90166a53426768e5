"""Sizes, durations, moments and lists, as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SPANS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_AGES = 1e10  # seconds, some 300 years; digits below this are noise
_NAMED = 5  # of a list that may be long


def size(count: float) -> str:
    """Bytes in the unit that fits.

    Example:
        >>> size(512), size(1536)
        ('512 B', '1.5 KiB')
    """
    for unit in _UNITS[:-1]:
        # What would be rounded up to 1024 is one of the next unit.
        if round(count, 1) < 1024:  # noqa: PLR2004 - what these units are of each other
            return f"{count} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"


def duration(seconds: float) -> str:
    """Seconds as the two largest units that say something.

    Example:
        >>> duration(5400), duration(0.25), duration(90061)
        ('1h 30m', '0.25s', '1d 1h')
    """
    if round(seconds, 2) < 60:  # noqa: PLR2004 - below a minute, fractions matter
        return f"{round(seconds, 2):g}s"
    if seconds >= _AGES:
        return f"{seconds / 86400:.3g}d"
    parts: list[str] = []
    left = int(round(seconds, 2))
    for unit, length in _SPANS:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def entries(count: int) -> str:
    """So many entries.

    Example:
        >>> entries(1), entries(2000)
        ('1 entry', '2,000 entries')
    """
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


def first(things: Iterable[str], count: int) -> str:
    """The first five of some things, and how many more there are.

    Example:
        >>> first(map(str, range(7)), 7)
        '0; 1; 2; 3; 4; and 2 more'
    """
    more = f"; and {count - _NAMED:,} more" if count > _NAMED else ""
    return "; ".join(islice(things, _NAMED)) + more


def money(amount: float) -> str:
    """An amount in nobody knows which currency, as exactly as its size asks for.

    Example:
        >>> money(1234.5), money(0.00125)
        ('1,234.50', '0.00125')
    """
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.3g}"


def moment(when: float) -> str:
    """Seconds since the epoch as local date and time, with the distance to UTC."""
    try:
        local = datetime.fromtimestamp(when, UTC).astimezone()
    except (OverflowError, ValueError, OSError):  # beyond the year 9999
        return "after the year 9999"
    return local.isoformat(" ", "seconds")
