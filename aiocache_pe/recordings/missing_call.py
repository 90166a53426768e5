"""The error for a call that nobody recorded: what was asked, what is near, what to do."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import msgspec

from aiocache_pe.context import Call
from aiocache_pe.exceptions import UnrecordedCallError
from aiocache_pe.recordings.files import RecordedCall, render_text

VARIABLE = "AIOCACHE_PE_RECORD"
_SHOWN = 100
_CLOSE = 0.3  # of 1, below which two calls have nothing to do with each other


def make_error(
    call: Call, directory: Path, there: Mapping[str, RecordedCall], command: str | None
) -> UnrecordedCallError:
    """What to raise for a call.

    Args:
        call: the call.
        directory: where its recording was looked for.
        there: what is recorded there.
        command: by which to record it; ``None`` for the one that this process was begun by.
    """
    asked = render_text(call.arguments)
    nearest = _nearest(call.name, asked, there)
    where = directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory
    lines = [f"no recording of {call.name} in {where}", f"  asked: {_cut(asked)}"]
    if nearest is not None:
        lines.append(f"  nearest: {nearest}")
        lines += [f"    {line}" for line in _differences(there[nearest].arguments, asked)]
    elif there:
        lines.append(f"  none of the {len(there)} recordings there is like it")
    else:
        lines.append("  there are no recordings there yet")
    lines.append(f"  record it: {command or command_to_record()}")
    text = "\n".join(lines)
    return UnrecordedCallError(text, call=call.name, directory=str(directory), nearest=nearest)


def command_to_record() -> str:
    """How to begin this program, or this test, so that it records."""
    test = os.environ.get("PYTEST_CURRENT_TEST")
    if test:
        return f"{VARIABLE}=record pytest {shlex.quote(test.rpartition(' ')[0])}"
    return f"{VARIABLE}=record {shlex.join(['python', *sys.orig_argv[1:]])}"


def _nearest(name: str, asked: bytes, there: Mapping[str, RecordedCall]) -> str | None:
    """The file of the recording that is most like a call; of the same function, if any is."""
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(_cut(asked, 1_000))
    best: tuple[bool, float, str] = (False, _CLOSE, "")
    for file, recorded in there.items():
        is_same = recorded.call == name
        if best[0] and not is_same:
            continue
        matcher.set_seq1(_cut(bytes(recorded.arguments), 1_000))
        best = max(best, (is_same, matcher.ratio(), file))
    return best[2] or None


def _differences(recorded: msgspec.Raw, asked: bytes) -> list[str]:
    """Where the arguments of two calls differ."""
    before, now = msgspec.json.decode(recorded), msgspec.json.decode(asked)
    lines: list[str] = []
    _compare("", before, now, lines)
    return lines or ["the same arguments, of another namespace, version or kind of value"]


def _compare(path: str, before: Any, now: Any, lines: list[str]) -> None:
    """Go down to where they differ."""
    if before == now:
        return
    if isinstance(before, dict) and isinstance(now, dict):
        for name in {**before, **now}:
            inner = f"{path}.{name}" if path else str(name)
            _compare(inner, before.get(name), now.get(name), lines)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for at, (one, other) in enumerate(zip(before, now, strict=True)):
            _compare(f"{path}[{at}]", one, other, lines)
    else:
        lines.append(f"{path}: recorded {before!r:.{_SHOWN}}, asked {now!r:.{_SHOWN}}")


def _cut(text: bytes, longest: int = 4 * _SHOWN) -> str:
    whole = " ".join(text.decode().split())
    return whole if len(whole) <= longest else f"{whole[:longest]} ..."
