"""Files of recordings: one JSON file for each call, with its arguments and its answer.

The same answer makes the same file at every time and on every machine: a file contains no time,
its arguments are in the order of the function's parameters, and a list of numbers is one line.
Values that plain JSON cannot hold exactly are written with tags (`codecs.tagged_json`). Pickle is
neither written nor read, so that a file from an unknown contributor runs no code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from aiocache_pe.codecs.base import NotExactError
from aiocache_pe.codecs.plain_json import PlainJson
from aiocache_pe.codecs.tagged_json import TaggedJson, encode_tagged
from aiocache_pe.context import Call
from aiocache_pe.exceptions import CorruptRecordError, SerializationError
from aiocache_pe.recordings.redaction import (
    HIDDEN,
    find_secret,
    redact_fields,
    redact_text,
)

_PLAIN, _TAGGED = PlainJson(), TaggedJson()
_CODECS: dict[str, PlainJson | TaggedJson] = {_PLAIN.name: _PLAIN, _TAGGED.name: _TAGGED}
_NUMBER_LIST = re.compile(rb"\[\n\s*(?:-?[0-9.eE+-]+,?\n\s*)+\]")
_FILE_NAME = re.compile(r".*-[0-9a-f]{16}\.json")
_MAX_LABEL_LENGTH = 60
_MAX_ARGUMENT_BYTES = 20_000


class RecordedCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """The contents of a file; the arguments are for readers, the answer is JSON of a codec."""

    call: str
    arguments: msgspec.Raw
    answer: msgspec.Raw
    codec: str = _PLAIN.name


_decode_file = msgspec.json.Decoder(RecordedCall).decode


def make_recorded_call(call: Call, value: Any) -> RecordedCall:
    """Return the contents of the file for a call and its answer.

    Raises:
        SerializationError: JSON cannot hold the answer exactly, or it contains a secret.
    """
    name = redact_name(call)
    try:
        codec, payload = _encode(value)
    except SerializationError as error:
        raise SerializationError(f"the answer of {name} is not recorded: {error}") from error
    secret = find_secret(value, payload)
    if secret is not None:
        raise SerializationError(
            f"the answer of {name} is not recorded: it contains {secret}; record a call whose "
            "answer has none"
        )
    arguments = msgspec.Raw(render_arguments(call.arguments))
    return RecordedCall(name, arguments, msgspec.Raw(payload), codec)


def read_answer(recorded: RecordedCall, name: str) -> Any:
    """Return a new copy of the answer in a file.

    Raises:
        CorruptRecordError: the answer was edited and is not valid; the error has the file's name.
    """
    codec = _CODECS.get(recorded.codec)
    if codec is None:
        raise CorruptRecordError(f"the recording {name}: codec {recorded.codec!r:.80} is not known")
    try:
        return codec.decode(bytes(recorded.answer))
    except CorruptRecordError as error:
        raise CorruptRecordError(f"the recording {name}: {error.reason}") from error


def redact_name(call: Call) -> str:
    """Return the name of a call without secrets."""
    return redact_text(call.name.encode("utf-8", "replace")).decode()


def make_file_name(call: Call) -> str:
    """Return the name of a call's file: a label for readers, and a digest of the key.

    Example:
        >>> make_file_name(Call("default:k", "app.ask", "ask", {"text": "What is love?"}))
        'ask-what-is-love-62c04945d7954e1e.json'
    """
    digest = blake2b(call.key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    text = call.text if call.text is not None else _find_first_text(call.arguments)
    words = redact_text(msgspec.json.encode(f"{call.title} {text}")).decode()
    label = re.sub(r"[^a-z0-9]+", "-", words[: 4 * _MAX_LABEL_LENGTH].lower()).strip("-")
    return f"{label[:_MAX_LABEL_LENGTH].strip('-') or 'call'}-{digest}.json"


def parse_digest(name: str) -> str:
    """Return the digest in a file's name; users may change the label before it."""
    return name[-21:-5]


def save(recorded: RecordedCall, path: Path) -> None:
    """Write a file completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    try:
        temporary.write_bytes(render(recorded))
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def load(directory: Path) -> dict[str, RecordedCall]:
    """Return the recordings in a directory by file name; other files are ignored.

    Raises:
        CorruptRecordError: a file with the name of a recording has other contents.
    """
    recordings: dict[str, RecordedCall] = {}
    for path in list_files(directory):
        try:
            recordings[path.name] = _decode_file(path.read_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CorruptRecordError(f"{path} is not a recording: {error}") from error
    return recordings


def list_files(directory: Path) -> list[Path]:
    """Return the files in a directory with the name of a recording, sorted."""
    return sorted(path for path in directory.glob("*.json") if _FILE_NAME.fullmatch(path.name))


def render(recorded: RecordedCall) -> bytes:
    """Return the bytes of a file."""
    text = msgspec.json.format(msgspec.json.encode(recorded), indent=2)
    text = _NUMBER_LIST.sub(lambda numbers: b"[%b]" % b" ".join(numbers[0][1:-1].split()), text)
    return text + b"\n"


def render_arguments(arguments: Mapping[str, Any]) -> bytes:
    """Return arguments as JSON for readers, without secrets."""
    parts = [
        b"%b:%b" % (msgspec.json.encode(name), _render_argument(value))
        for name, value in redact_fields(arguments).items()
    ]
    return redact_text(b"{%b}" % b",".join(parts))


def _encode(value: Any) -> tuple[str, bytes]:
    """Return the codec and the JSON of a value."""
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


def _find_first_text(arguments: Mapping[str, Any]) -> str:
    texts = (value for value in redact_fields(arguments).values() if isinstance(value, str))
    return next((text for text in texts if text and text != HIDDEN), "")


def _render_argument(value: Any) -> bytes:
    try:
        _, payload = _encode(value)
    except SerializationError:
        return msgspec.json.encode(f"<{type(value).__qualname__}>")
    payload = redact_text(payload)  # before it is cut, perhaps within a secret
    if len(payload) <= _MAX_ARGUMENT_BYTES:
        return payload
    start = payload[:_MAX_ARGUMENT_BYTES].decode("utf-8", "ignore")
    return msgspec.json.encode(f"{start} ... ({len(payload)} bytes)")
