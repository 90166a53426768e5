"""The files of recordings: to be read in a review, the same for the same answers, no secrets."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import (
    BackendError,
    CacheManager,
    ConfigurationError,
    CorruptRecordError,
    SerializationError,
    UnrecordedCallError,
    cached,
    recording,
    register,
)
from aiocache_pe.recordings.redaction import HIDDEN, redact_headers

SECRET = "a-key-that-is-nobodys-business"


@dataclass
class Answer:
    text: str
    price: Decimal


register(Answer)


class Opaque:
    """What nothing but pickle can hold."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque)

    def __hash__(self) -> int:
        return 1


async def answered(tapes: Path, memory: CacheManager, *answers: Any, mode: Any = "record") -> Any:
    """Ask a question a time for each answer; what was answered."""
    left = list(answers)

    @cached(cache=memory, ignore=("client",))
    async def ask(
        question: str, model: str = "small", api_key: str = "", client: Any = None
    ) -> Any:
        return left.pop(0)

    with recording(tapes, mode):
        return [
            await ask(f"question {number}?", api_key=SECRET, client=object())
            for number, _ in enumerate(answers, 1)
        ]


async def test_a_file_shows_what_was_asked_beside_what_was_answered(
    tmp_path: Path, memory: CacheManager
) -> None:
    answer = {"text": "Forty-two.", "vector": [0.1, -2e-9, 3], "none": None, "more": ["a", 1]}
    await answered(tmp_path, memory, answer)
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("ask-question-1-")
    assert path.read_text() == (
        "{\n"
        f'  "call": "{__name__}.answered.<locals>.ask",\n'
        '  "arguments": {\n'
        '    "question": "question 1?",\n'
        '    "model": "small",\n'
        '    "api_key": "<hidden>"\n'
        "  },\n"
        '  "answer": {\n'
        '    "text": "Forty-two.",\n'
        '    "vector": [0.1, -2e-9, 3],\n'
        '    "none": null,\n'
        '    "more": [\n'
        '      "a",\n'
        "      1\n"
        "    ]\n"
        "  }\n"
        "}\n"
    )


async def test_the_same_answers_make_no_difference(tmp_path: Path, memory: CacheManager) -> None:
    answers = [{"b": 1, "a": {"x", "y", "z"}}, Answer("42", Decimal("1.10")), b"\xff", None]
    await answered(tmp_path, memory, *answers)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    await answered(tmp_path, memory, *answers)
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    assert after == before
    assert await answered(tmp_path, memory, *answers, mode="replay") == answers


async def test_another_answer_takes_the_place_of_the_old(
    tmp_path: Path, memory: CacheManager
) -> None:
    for answer in (1, True, 1.0, "1"):
        await answered(tmp_path, memory, answer)
        (found,) = await answered(tmp_path, memory, None, mode="replay")
        assert (found, type(found)) == (answer, type(answer))
    assert len(list(tmp_path.iterdir())) == 1


async def test_arrays_are_recorded_readably(tmp_path: Path, memory: CacheManager) -> None:
    numpy = pytest.importorskip("numpy")
    vector = numpy.array([1.5, 2.5], dtype="float32")
    for mode in ("record", "record", "replay"):
        (found,) = await answered(tmp_path, memory, vector, mode=mode)
        assert (found == vector).all()
        assert found.dtype == vector.dtype


async def test_what_json_cannot_hold_is_refused_with_the_way_out(
    tmp_path: Path, memory: CacheManager
) -> None:
    with pytest.raises(SerializationError, match=r"ask is not recorded: .*Opaque.*register"):
        await answered(tmp_path, memory, Opaque())
    assert list(tmp_path.iterdir()) == []


async def test_no_secret_of_the_environment_gets_into_a_file(
    tmp_path: Path, memory: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", 'quite "secret"')

    @cached(cache=memory)
    async def ask(text: str, header: dict[str, str], number: int = 1) -> str:
        return "42" if number else text

    with recording(tmp_path, "record"):
        await ask('quite "secret"' * 9, {"Authorization": "x" * 9, "more": "Bearer " + "t" * 20})
        with pytest.raises(SerializationError, match="environment variable SOME_API_KEY"):
            await ask('quite "secret"', {}, 0)
    (path,) = tmp_path.iterdir()
    assert "secret" not in path.name
    told = json.loads(path.read_text())["arguments"]
    assert told == {
        "text": "<SOME_API_KEY>" * 9,
        "header": {"Authorization": "<hidden>", "more": "<hidden>"},
        "number": 1,
    }


async def test_long_and_strange_arguments_are_told_in_short(
    tmp_path: Path, memory: CacheManager
) -> None:
    @cached(cache=memory, key="{name}")
    async def ask(name: str, text: str, thing: object) -> str:
        return "42"

    with recording(tmp_path, "record"):
        await ask("n", "long" * 100_000, object())
    (path,) = tmp_path.iterdir()
    assert len(path.read_bytes()) < 25_000
    assert json.loads(path.read_text())["arguments"]["thing"] == "<object>"


async def test_a_file_may_get_another_name_and_another_answer_by_hand(
    tmp_path: Path, memory: CacheManager
) -> None:
    await answered(tmp_path, memory, "old")
    (path,) = tmp_path.iterdir()
    renamed = path.rename(path.with_name(f"better-{path.name}"))
    renamed.write_text(renamed.read_text().replace('"old"', '"new"'))
    (tmp_path / "notes.json").write_text("no recording")
    assert await answered(tmp_path, memory, "x", mode="replay") == ["new"]
    assert await answered(tmp_path, memory, "newer") == ["newer"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([renamed.name, "notes.json"])


@pytest.mark.parametrize("text", ["", "{}", '{"call": 1}', "\0", '{"call": "f", "arguments": {}}'])
async def test_a_file_that_is_no_recording_is_named(
    tmp_path: Path, memory: CacheManager, text: str
) -> None:
    await answered(tmp_path, memory, "old")
    (path,) = tmp_path.iterdir()
    path.write_text(text)
    with pytest.raises(CorruptRecordError, match=f"{path} is no recording"):
        await answered(tmp_path, memory, "x", mode="replay")


@pytest.mark.parametrize(
    ("answer", "codec"),
    [('{"$pickle": "gA=="}', "tagged"), ("1", "pickle"), ('{"$x": 1}', "tagged")],
)
async def test_an_answer_from_a_stranger_runs_nothing(
    tmp_path: Path, memory: CacheManager, answer: str, codec: str
) -> None:
    await answered(tmp_path, memory, "old")
    (path,) = tmp_path.iterdir()
    path.write_text(f'{{"call": "f", "arguments": {{}}, "answer": {answer}, "codec": "{codec}"}}')
    with pytest.raises(CorruptRecordError, match=path.name):
        await answered(tmp_path, memory, "x", mode="replay")
    assert await answered(tmp_path, memory, "new") == ["new"]


async def test_unused_recordings_are_told_and_removed(tmp_path: Path, memory: CacheManager) -> None:
    await answered(tmp_path, memory, "a", "b", "c")

    @cached(cache=memory)
    async def other() -> str:
        return "42"

    with recording(tmp_path, "record") as recorded:
        await other()
        unused = recorded.unused()
        assert [path.name[:15] for path in unused] == [f"ask-question-{n}-" for n in (1, 2, 3)]
        assert recorded.remove_unused() == unused
        assert recorded.unused() == []
    assert [path.name[:6] for path in tmp_path.iterdir()] == ["other-"]


async def test_the_error_names_the_nearest_and_how_to_record(
    tmp_path: Path, memory: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "tests/test_it.py::test_it[a b] (call)")

    @cached(cache=memory)
    async def ask(question: str, options: dict[str, Any], models: list[str]) -> str:
        return "42"

    @cached(cache=memory)
    async def other(question: str) -> str:
        return "42"

    with recording(tmp_path, "record"):
        await ask("What is love?", {"n": 1}, ["a", "b"])
        await other("What is love?")
    with pytest.raises(UnrecordedCallError) as caught, recording(tmp_path):
        await ask("What is lve?", {"n": 2}, ["a", "c"])
    nearest = next(path.name for path in tmp_path.iterdir() if path.name.startswith("ask"))
    assert caught.value.nearest == nearest
    assert str(caught.value).splitlines() == [
        f"no recording of {caught.value.call} in {tmp_path}",
        '  asked: {"question":"What is lve?","options":{"n":2},"models":["a","c"]}',
        f"  nearest: {nearest}",
        "    question: recorded 'What is love?', asked 'What is lve?'",
        "    options.n: recorded 1, asked 2",
        "    models[1]: recorded 'b', asked 'c'",
        "  record it: AIOCACHE_PE_RECORD=record pytest 'tests/test_it.py::test_it[a b]'",
    ]


async def test_the_error_says_when_nothing_is_near(
    tmp_path: Path, memory: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")

    @cached(cache=memory)
    async def zzz(n: int) -> int:
        return n

    async def unrecorded() -> None:
        with recording(tmp_path):
            await zzz(1)

    with pytest.raises(UnrecordedCallError, match=r"no recordings there yet\n.*=record python "):
        await unrecorded()
    await answered(tmp_path, memory, "a")
    with pytest.raises(UnrecordedCallError, match="none of the 1 recordings there is like it"):
        await unrecorded()
    with recording(tmp_path, "record"):
        await cached(cache=memory, version=1)(zzz.__wrapped__)(1)
    with pytest.raises(UnrecordedCallError, match="nearest: zzz-"):
        await unrecorded()


def test_the_environment_picks_the_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recording(tmp_path).mode == "replay"
    monkeypatch.setenv("AIOCACHE_PE_RECORD", "record")
    assert recording(tmp_path, "replay").mode == "record"
    assert repr(recording(tmp_path)) == f"Recorder({str(tmp_path)!r}, 'record')"
    monkeypatch.setenv("AIOCACHE_PE_RECORD", "sometimes")
    with pytest.raises(ConfigurationError, match=r"'sometimes'.*'record', 'replay', 'off'"):
        recording(tmp_path)


def test_a_block_is_not_entered_twice(tmp_path: Path) -> None:
    block = recording(tmp_path)
    with block, pytest.raises(RuntimeError, match="entered already"):
        block.__enter__()
    with block:
        pass


async def test_a_directory_that_cannot_be_written_is_named(
    tmp_path: Path, memory: CacheManager
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match=r"cannot write the recording .*file/ask"):
        await answered(tmp_path / "file", memory, "a")


async def test_files_are_whole_or_not_there(
    tmp_path: Path, memory: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    await answered(tmp_path, memory, "old")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BackendError, match="No space left"):
        await answered(tmp_path, memory, "new")
    monkeypatch.undo()
    assert await answered(tmp_path, memory, "x", mode="replay") == ["old"]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "apiKey", "X-Api-Key", "secret_key", "private_key", "access_key"),
        *("aws_secret_access_key", "clientSecret", "client_secret", "accessToken", "passphrase"),
        *("Ocp-Apim-Subscription-Key", "Authorization", "token"),
    ],
)
def test_what_is_named_like_a_secret_is_hidden(name: str) -> None:
    assert redact_headers({"settings": [{name: SECRET}]}) == {"settings": [{name: HIDDEN}]}


@pytest.mark.parametrize("name", ["max_tokens", "key", "keyboard", "secretary", "cookies_eaten"])
def test_what_is_not_is_shown(name: str) -> None:
    assert redact_headers({name: "shown"}) == {name: "shown"}
