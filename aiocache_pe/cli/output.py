"""What a command prints: exact in a pipe, harmless on a terminal, JSON when asked.

Everything goes to the standard output through `write`, which is buffered: a listing of
a million keys must not cost a system call for each.

Sizes, durations, moments and lists, as a person reads them.
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

# Control characters, and those that turn the direction of the text around them: a
# cached web page must not be able to command the terminal of whoever looks at it.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_UNSAFE_IN_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def on_terminal(stream: TextIO | None) -> bool:
    """Whether a person reads, or writes, this stream; a closed one is ``None``."""
    return stream is not None and not stream.closed and stream.isatty()


def write(text: str) -> None:
    """Print as it is; what the stream's encoding cannot hold is printed as an escape."""
    out = sys.stdout
    if out is None:  # pyright: ignore[reportUnnecessaryComparison] - started with >&-
        return
    try:
        out.write(text)
    except UnicodeEncodeError:
        encoding = out.encoding or "ascii"
        out.write(text.encode(encoding, "backslashreplace").decode(encoding))


def write_line(text: str) -> None:
    """Print one line; on a terminal, line breaks and other controls in it are escaped."""
    write((escape(text) if on_terminal(sys.stdout) else text) + "\n")


def write_body(text: str) -> None:
    """Print a text that may have several lines, and end its last one."""
    if on_terminal(sys.stdout):
        text = _UNSAFE_IN_TEXT.sub(_escaped, text)
    write(text if text.endswith("\n") else text + "\n")


def write_json(value: Any, *, indented: bool = False) -> None:
    """Print JSON; readable text stays so, if the stream can hold it and it is harmless."""
    indent, separators = (2, None) if indented else (None, (",", ":"))
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent, separators=separators)
    write_body(text)


def write_table(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and what stands for them, in two columns."""
    shown = [(name, escape(value)) for name, value in rows]
    if on_terminal(sys.stdout):
        # Late: it takes longer to import than most commands take to run.
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        grid = Table(box=None, show_header=False, pad_edge=False)
        for name, value in shown:
            grid.add_row(Text(name, style="bold"), Text(value))
        Console(file=sys.stdout).print(grid)
        return
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        write(f"{name:{width}}  {value}".rstrip() + "\n")


def write_error(message: str) -> None:
    """Print one line to the standard error, whatever the message holds."""
    with suppress(OSError, AttributeError):  # nobody listens, or it is closed
        sys.stderr.write(escape(message) + "\n")
        sys.stderr.flush()


def escape(text: str) -> str:
    r"""Write controls as escapes, which are those of JSON too.

    Example:
        >>> escape("red: \x1b[31m")
        'red: \\u001b[31m'
    """
    return _UNSAFE.sub(_escaped, text)


def flush() -> None:
    """Hand over what is buffered, while an error can still be told."""
    if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] - see `write`
        sys.stdout.flush()


def drop_output() -> None:
    """Let what is still buffered go nowhere, so that the interpreter's end is quiet too."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SPANS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_AGES = 1e10  # seconds, some 300 years; digits below this are noise
_NAMED = 5  # of a list that may be long


def format_size(count: float) -> str:
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


def format_duration(seconds: float) -> str:
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


def count_entries(count: int) -> str:
    """So many entries.

    Example:
        >>> entries(1), entries(2000)
        ('1 entry', '2,000 entries')
    """
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


def list_first(things: Iterable[str], count: int) -> str:
    """The first five of some things, and how many more there are.

    Example:
        >>> first(map(str, range(7)), 7)
        '0; 1; 2; 3; 4; and 2 more'
    """
    more = f"; and {count - _NAMED:,} more" if count > _NAMED else ""
    return "; ".join(islice(things, _NAMED)) + more


def format_money(amount: float) -> str:
    """An amount in nobody knows which currency, as exactly as its size asks for.

    Example:
        >>> money(1234.5), money(0.00125)
        ('1,234.50', '0.00125')
    """
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.3g}"


def format_time(when: float) -> str:
    """Seconds since the epoch as local date and time, with the distance to UTC."""
    try:
        local = datetime.fromtimestamp(when, UTC).astimezone()
    except (OverflowError, ValueError, OSError):  # beyond the year 9999
        return "after the year 9999"
    return local.isoformat(" ", "seconds")
