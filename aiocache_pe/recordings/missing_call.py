"""Error for a call without a recording: its arguments, the nearest recording, the remedy."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import msgspec

from aiocache_pe.context import Call
from aiocache_pe.exceptions import UnrecordedCallError
from aiocache_pe.recordings.files import RecordedCall, redact_name, render_arguments

VARIABLE = "AIOCACHE_PE_RECORD"
_MAX_VALUE_LENGTH = 100
_MAX_CALL_LENGTH = 400
_MAX_COMPARED_LENGTH = 1_000
_MIN_SIMILARITY = 0.3  # of 1; calls that are less similar are unrelated


def make_error(
    call: Call, directory: Path, recordings: Mapping[str, RecordedCall], command: str | None
) -> UnrecordedCallError:
    """Return the error to raise for a call; the arguments are those of the `Recorder`."""
    arguments = render_arguments(call.arguments)
    nearest = _find_nearest(redact_name(call), arguments, recordings)
    cwd = Path.cwd()
    shown = directory.relative_to(cwd) if directory.is_relative_to(cwd) else directory
    name = redact_name(call)
    lines = [f"no recording of {name} in {shown}", f"  asked: {_shorten(arguments)}"]
    if nearest is not None:
        differences = _list_differences(recordings[nearest].arguments, arguments)
        lines += [f"  nearest: {nearest}", *(f"    {line}" for line in differences)]
    elif recordings:
        lines.append(f"  none of the {len(recordings)} recordings there is similar")
    else:
        lines.append("  there are no recordings there yet")
    lines.append(f"  record it: {command or _make_command()}")
    text = "\n".join(lines)
    return UnrecordedCallError(text, call=name, directory=str(directory), nearest=nearest)


def _make_command() -> str:
    """Return the command that runs this program, or the current test, in recording mode."""
    test = os.environ.get("PYTEST_CURRENT_TEST")
    if test:
        return f"{VARIABLE}=record pytest {shlex.quote(test.rpartition(' ')[0])}"
    return f"{VARIABLE}=record {shlex.join(['python', *sys.orig_argv[1:]])}"


def _find_nearest(
    name: str, arguments: bytes, recordings: Mapping[str, RecordedCall]
) -> str | None:
    """Return the file of the most similar call; of the same function if there is one."""
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(_shorten(arguments, _MAX_COMPARED_LENGTH))
    best: tuple[bool, float, str] = (False, _MIN_SIMILARITY, "")
    for file, recorded in recordings.items():
        is_same_function = recorded.call == name
        if best[0] and not is_same_function:
            continue
        matcher.set_seq1(_shorten(bytes(recorded.arguments), _MAX_COMPARED_LENGTH))
        best = max(best, (is_same_function, matcher.ratio(), file))
    return best[2] or None


def _list_differences(recorded: msgspec.Raw, arguments: bytes) -> list[str]:
    before, after = msgspec.json.decode(recorded), msgspec.json.decode(arguments)
    lines = list(_compare("", before, after))
    return lines or ["the same arguments, with another namespace, version or type of a value"]


def _compare(path: str, recorded: Any, asked: Any) -> Iterator[str]:
    if recorded == asked:
        return
    if isinstance(recorded, dict) and isinstance(asked, dict):
        for name in {**recorded, **asked}:
            inner = f"{path}.{name}" if path else str(name)
            yield from _compare(inner, recorded.get(name), asked.get(name))
    elif isinstance(recorded, list) and isinstance(asked, list) and len(recorded) == len(asked):
        for index, (before, after) in enumerate(zip(recorded, asked, strict=True)):
            yield from _compare(f"{path}[{index}]", before, after)
    else:
        length = _MAX_VALUE_LENGTH
        yield f"{path}: recorded {recorded!r:.{length}}, asked {asked!r:.{length}}"


def _shorten(text: bytes, length: int = _MAX_CALL_LENGTH) -> str:
    line = " ".join(text.decode().split())
    return line if len(line) <= length else f"{line[:length]} ..."
