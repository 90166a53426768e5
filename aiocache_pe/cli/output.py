"""Output of commands: exact in a pipe, harmless at a terminal, and JSON on request.

All output goes through `write` to standard output, which is buffered: a list of a million keys
must not cost a system call for each key.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TextIO

# Control characters, and characters that change the direction of the text around them. A cached
# web page must not be able to control the terminal of its reader.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_UNSAFE_IN_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_SIZE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DURATION_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_MAX_EXACT_SECONDS = 1e10  # about 300 years; longer durations are shown as days
_MAX_LISTED = 5


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal; a closed standard stream is ``None``."""
    return stream is not None and not stream.closed and stream.isatty()


def write(text: str) -> None:
    """Print text; characters that the output's encoding lacks are escaped."""
    out = sys.stdout
    if out is None:  # pyright: ignore[reportUnnecessaryComparison] - started with >&-
        return
    try:
        out.write(text)
    except UnicodeEncodeError:
        encoding = out.encoding or "ascii"
        out.write(text.encode(encoding, "backslashreplace").decode(encoding))


def write_line(text: str) -> None:
    """Print one line; at a terminal, line breaks and control characters in it are escaped."""
    write((escape(text) if is_terminal(sys.stdout) else text) + "\n")


def write_body(text: str) -> None:
    """Print text of one or more lines, and end its last line."""
    if is_terminal(sys.stdout):
        text = _UNSAFE_IN_TEXT.sub(_escape_character, text)
    write(text if text.endswith("\n") else text + "\n")


def write_json(value: Any, *, indented: bool = False) -> None:
    """Print JSON; characters that the output's encoding lacks are escaped."""
    indent, separators = (2, None) if indented else (None, (",", ":"))
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent, separators=separators)
    write_body(text)


def write_table(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns."""
    escaped = [(name, escape(value)) for name, value in rows]
    width = max(len(name) for name, _ in escaped)
    for name, value in escaped:
        write(f"{name:{width}}  {value}".rstrip() + "\n")


def write_error(message: str) -> None:
    """Print a message as one line on standard error."""
    with suppress(OSError, AttributeError):  # standard error is broken or closed
        sys.stderr.write(escape(message) + "\n")
        sys.stderr.flush()


def escape(text: str) -> str:
    r"""Return text with control characters escaped, as in JSON.

    Example:
        >>> escape("red: \x1b[31m")
        'red: \\u001b[31m'
    """
    return _UNSAFE.sub(_escape_character, text)


def flush() -> None:
    """Write buffered output, while an error can still be reported."""
    if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] - see `write`
        sys.stdout.flush()


def drop_output() -> None:
    """Discard buffered output, so that the interpreter reports no error at its end."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def format_size(count: float) -> str:
    """Return a number of bytes in a suitable unit, such as ``1.5 KiB``."""
    for unit in _SIZE_UNITS[:-1]:
        # A count that rounds up to 1024 is shown in the next unit.
        if round(count, 1) < 1024:  # noqa: PLR2004 - the ratio of these units
            return f"{count} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_SIZE_UNITS[-1]}"


def format_duration(seconds: float) -> str:
    """Return seconds in the two largest units that are not zero.

    Example:
        >>> format_duration(5400), format_duration(0.25), format_duration(90061)
        ('1h 30m', '0.25s', '1d 1h')
    """
    if round(seconds, 2) < 60:  # noqa: PLR2004 - fractions matter below a minute
        return f"{round(seconds, 2):g}s"
    if seconds >= _MAX_EXACT_SECONDS:
        return f"{seconds / 86400:.3g}d"
    parts: list[str] = []
    rest = int(round(seconds, 2))
    for unit, length in _DURATION_UNITS:
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def count_entries(count: int) -> str:
    """Return a number of entries in words, such as ``2,000 entries``."""
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


def list_first(items: Iterable[str], count: int) -> str:
    """Return the first five of several items, and the number of the others.

    Example:
        >>> list_first(map(str, range(7)), 7)
        '0; 1; 2; 3; 4; and 2 more'
    """
    more = f"; and {count - _MAX_LISTED:,} more" if count > _MAX_LISTED else ""
    return "; ".join(islice(items, _MAX_LISTED)) + more


def format_money(amount: float) -> str:
    """Return an amount of money, in an unknown currency, with a suitable precision."""
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.3g}"


def format_time(seconds: float) -> str:
    """Return seconds since the epoch as a local date and time with the offset to UTC."""
    try:
        local = datetime.fromtimestamp(seconds, UTC).astimezone()
    except (OverflowError, ValueError, OSError):  # the year is above 9999
        return "after the year 9999"
    return local.isoformat(" ", "seconds")


def _escape_character(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
