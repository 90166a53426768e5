"""One file for each call: what was asked beside what was answered, as JSON.

The same answer makes the same file, whenever and wherever it is recorded: there is no time
in it, names are in the order of the function's parameters, and a list of numbers is one
line. What JSON cannot hold exactly is written with tags (`codecs.tagged_json`); pickle is
never written or read, so a file from a stranger's pull request runs nothing.

JSON for values that people are to read: plain, or with tags; never pickle, never raw bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec

from aiocache_pe.codecs.base import NotExactError
from aiocache_pe.codecs.plain_json import PlainJson
from aiocache_pe.codecs.tagged_json import TaggedJson, encode_tagged
from aiocache_pe.context import Call
from aiocache_pe.exceptions import CorruptRecordError, SerializationError
from aiocache_pe.recordings.redaction import HIDDEN, find_secret, redact, redact_headers

_PLAIN, _TAGGED = PlainJson(), TaggedJson()
PLAIN: Final = _PLAIN.name


def is_readable(value: Any) -> tuple[str, bytes]:
    """The codec and the JSON of a value.

    Raises:
        SerializationError: JSON cannot hold it exactly.

    Example:
        >>> readable({"size": (640, 480)})
        ('tagged', b'{"size":{"$tuple":[640,480]}}')
    """
    payload = _PLAIN.encode(value)
    if payload is not None:
        return _PLAIN.name, payload
    try:
        return _TAGGED.name, encode_tagged(value)
    except NotExactError as error:
        raise SerializationError(
            f"JSON cannot hold this {type(value).__qualname__}: {error}; if its class is a "
            "dataclass, pydantic model, struct, enum or named tuple, register the class "
            "(aiocache_pe.register)"
        ) from None


def read(codec: str, payload: bytes) -> Any:
    """The value, one of its own for each call.

    Raises:
        CorruptRecordError: it is not what the codec says, or there is no such codec.
    """
    if codec not in (_PLAIN.name, _TAGGED.name):
        raise CorruptRecordError(f"codec {codec!r:.80} is not known")
    return (_PLAIN if codec == _PLAIN.name else _TAGGED).decode(payload)


_NUMBERS = re.compile(rb"\[\n\s*(?:-?[0-9.eE+-]+,?\n\s*)+\]")
_NAME = re.compile(r".*-[0-9a-f]{16}\.json")
_LONGEST_WORDS = 60
_LONGEST_ARGUMENT = 20_000  # bytes


class RecordedCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file's content.

    Attributes:
        call: what was called.
        arguments: by their names, for people.
        answer: what it returned, as JSON.
        codec: how that is to be read: ``"json"`` or ``"tagged"``.
    """

    call: str
    arguments: msgspec.Raw
    answer: msgspec.Raw
    codec: str = PLAIN


_decode = msgspec.json.Decoder(RecordedCall).decode


def file_name(call: Call) -> str:
    """A name that says what was called, and tells it from every other call.

    Example:
        >>> file_name(Call("default:k", "app.ask", "ask", {"text": "What is love?"}))
        'ask-what-is-love-62c04945d7954e1e.json'
    """
    digest = blake2b(call.key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    text = call.text if call.text is not None else _first_text(call.arguments)
    words = redact(msgspec.json.encode(f"{call.title} {text}")).decode()
    readable = re.sub(r"[^a-z0-9]+", "-", words[: 4 * _LONGEST_WORDS].lower()).strip("-")
    return f"{readable[:_LONGEST_WORDS].strip('-') or 'call'}-{digest}.json"


def parse_digest(name: str) -> str:
    """The part of a file's name that tells calls apart; the rest may be changed at will."""
    return name[-21:-5]


def make_recorded(call: Call, value: Any) -> RecordedCall:
    """A call and its answer, ready to be written.

    Raises:
        SerializationError: JSON cannot hold the answer, or it holds a secret.
    """
    try:
        codec, payload = is_readable(value)
    except SerializationError as error:
        raise SerializationError(f"the answer of {call.name} is not recorded: {error}") from error
    variable = find_secret(payload)
    if variable is not None:
        raise SerializationError(
            f"the answer of {call.name} is not recorded: it holds the value of the "
            f"environment variable {variable}"
        )
    arguments = msgspec.Raw(render_text(call.arguments))
    return RecordedCall(call.name, arguments, msgspec.Raw(payload), codec)


def read_answer(recorded: RecordedCall, name: str) -> Any:
    """The answer, a value of the caller's own.

    Raises:
        CorruptRecordError: it was changed to what cannot be read.
    """
    try:
        return read(recorded.codec, bytes(recorded.answer))
    except CorruptRecordError as error:
        raise CorruptRecordError(f"the recording {name}: {error.reason}") from error


def render(recorded: RecordedCall) -> bytes:
    """The file."""
    text = msgspec.json.format(msgspec.json.encode(recorded), indent=2)
    return _NUMBERS.sub(lambda match: b"[%b]" % b" ".join(match[0][1:-1].split()), text) + b"\n"


def save(recorded: RecordedCall, path: Path) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError: it cannot be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{uuid4().hex}.tmp")
    try:
        draft.write_bytes(render(recorded))
        os.replace(draft, path)  # noqa: PTH105 - as rename, also over what is there
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def load(directory: Path) -> dict[str, RecordedCall]:
    """The recordings in a directory, by their files' names; what else is in it is left alone.

    Raises:
        CorruptRecordError: a file of that form is no recording.
        OSError: one cannot be read.
    """
    found: dict[str, RecordedCall] = {}
    for path in load_all(directory):
        try:
            found[path.name] = _decode(path.read_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CorruptRecordError(f"{path} is no recording: {error}") from error
    return found


def load_all(directory: Path) -> list[Path]:
    """The files in a directory that have the name of a recording, in order."""
    return sorted(path for path in directory.glob("*.json") if _NAME.fullmatch(path.name))


def render_text(arguments: Mapping[str, Any]) -> bytes:
    """Arguments as JSON for people, without secrets."""
    parts = [
        b"%b:%b" % (msgspec.json.encode(name), _shown_one(value))
        for name, value in redact_headers(arguments).items()
    ]
    return redact(b"{%b}" % b",".join(parts))


def _first_text(arguments: Mapping[str, Any]) -> str:
    texts = (value for value in redact_headers(arguments).values() if isinstance(value, str))
    return next((text for text in texts if text and text != HIDDEN), "")


def _shown_one(value: Any) -> bytes:
    try:
        _, payload = is_readable(value)
    except SerializationError:
        return msgspec.json.encode(f"<{type(value).__qualname__}>")
    if len(payload) <= _LONGEST_ARGUMENT:
        return payload
    begin = payload[:_LONGEST_ARGUMENT].decode("utf-8", "ignore")
    return msgspec.json.encode(f"{begin} ... ({len(payload)} bytes)")
