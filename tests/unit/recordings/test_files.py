"""Files of recordings: readable, equal for equal answers, and without secrets."""

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
from aiocache_pe.recordings.redaction import HIDDEN, redact_fields

SECRET = "a-key-that-must-not-be-recorded"


@dataclass
class Answer:
    text: str
    price: Decimal


register(Answer)


class Opaque:
    """A class that only pickle can encode."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque)

    def __hash__(self) -> int:
        return 1


async def ask_all(
    directory: Path, memory: CacheManager, *answers: Any, mode: Any = "record"
) -> list[Any]:
    """Make a call for each answer in a recording, and return the results."""
    remaining = list(answers)

    @cached(cache=memory, ignore=("client",))
    async def ask(
        question: str, model: str = "small", api_key: str = "", client: Any = None
    ) -> Any:
        return remaining.pop(0)

    with recording(directory, mode):
        return [
            await ask(f"question {number}?", api_key=SECRET, client=object())
            for number, _ in enumerate(answers, 1)
        ]


async def test_a_file_shows_the_arguments_and_the_answer(
    tmp_path: Path, memory: CacheManager
) -> None:
    answer = {"text": "Forty-two.", "vector": [0.1, -2e-9, 3], "none": None, "more": ["a", 1]}
    await ask_all(tmp_path, memory, answer)
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("ask-question-1-")
    assert path.read_text() == (
        "{\n"
        f'  "call": "{__name__}.ask_all.<locals>.ask",\n'
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


async def test_equal_answers_leave_the_files_unchanged(
    tmp_path: Path, memory: CacheManager
) -> None:
    answers = [{"b": 1, "a": {"x", "y", "z"}}, Answer("42", Decimal("1.10")), b"\xff", None]
    await ask_all(tmp_path, memory, *answers)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    await ask_all(tmp_path, memory, *answers)
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    assert after == before
    assert await ask_all(tmp_path, memory, *answers, mode="replay") == answers


async def test_a_new_answer_replaces_the_old_one(tmp_path: Path, memory: CacheManager) -> None:
    for answer in (1, True, 1.0, "1"):
        await ask_all(tmp_path, memory, answer)
        (replayed,) = await ask_all(tmp_path, memory, None, mode="replay")
        assert (replayed, type(replayed)) == (answer, type(answer))
    assert len(list(tmp_path.iterdir())) == 1


async def test_arrays_are_recorded(tmp_path: Path, memory: CacheManager) -> None:
    numpy = pytest.importorskip("numpy")
    vector = numpy.array([1.5, 2.5], dtype="float32")
    for mode in ("record", "record", "replay"):
        (result,) = await ask_all(tmp_path, memory, vector, mode=mode)
        assert (result == vector).all()
        assert result.dtype == vector.dtype


async def test_the_error_for_a_class_without_json_names_the_remedy(
    tmp_path: Path, memory: CacheManager
) -> None:
    with pytest.raises(SerializationError, match=r"ask is not recorded: .*Opaque.*register"):
        await ask_all(tmp_path, memory, Opaque())
    assert list(tmp_path.iterdir()) == []


async def test_no_secret_of_the_environment_is_written(
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
    arguments = json.loads(path.read_text())["arguments"]
    assert arguments == {
        "text": "<SOME_API_KEY>" * 9,
        "header": {"Authorization": "<hidden>", "more": "<hidden>"},
        "number": 1,
    }


async def test_long_arguments_and_arguments_without_json_are_abbreviated(
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


async def test_a_file_may_be_renamed_and_its_answer_edited(
    tmp_path: Path, memory: CacheManager
) -> None:
    await ask_all(tmp_path, memory, "old")
    (path,) = tmp_path.iterdir()
    renamed = path.rename(path.with_name(f"better-{path.name}"))
    renamed.write_text(renamed.read_text().replace('"old"', '"new"'))
    (tmp_path / "notes.json").write_text("not a recording")
    assert await ask_all(tmp_path, memory, "x", mode="replay") == ["new"]
    assert await ask_all(tmp_path, memory, "newer") == ["newer"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([renamed.name, "notes.json"])


@pytest.mark.parametrize("text", ["", "{}", '{"call": 1}', "\0", '{"call": "f", "arguments": {}}'])
async def test_the_error_for_an_invalid_file_names_it(
    tmp_path: Path, memory: CacheManager, text: str
) -> None:
    await ask_all(tmp_path, memory, "old")
    (path,) = tmp_path.iterdir()
    path.write_text(text)
    with pytest.raises(CorruptRecordError, match=f"{path} is not a recording"):
        await ask_all(tmp_path, memory, "x", mode="replay")


@pytest.mark.parametrize(
    ("answer", "codec"),
    [('{"$pickle": "gA=="}', "tagged"), ("1", "pickle"), ('{"$x": 1}', "tagged")],
)
async def test_an_answer_in_a_file_never_runs_code(
    tmp_path: Path, memory: CacheManager, answer: str, codec: str
) -> None:
    await ask_all(tmp_path, memory, "old")
    (path,) = tmp_path.iterdir()
    path.write_text(f'{{"call": "f", "arguments": {{}}, "answer": {answer}, "codec": "{codec}"}}')
    with pytest.raises(CorruptRecordError, match=path.name):
        await ask_all(tmp_path, memory, "x", mode="replay")
    assert await ask_all(tmp_path, memory, "new") == ["new"]


async def test_unused_recordings_are_listed_and_removed(
    tmp_path: Path, memory: CacheManager
) -> None:
    await ask_all(tmp_path, memory, "a", "b", "c")

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


async def test_the_error_names_the_nearest_recording_and_the_command(
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


async def test_the_error_without_a_similar_recording(
    tmp_path: Path, memory: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")

    @cached(cache=memory)
    async def zzz(n: int) -> int:
        return n

    async def replay() -> None:
        with recording(tmp_path):
            await zzz(1)

    with pytest.raises(UnrecordedCallError, match=r"no recordings there yet\n.*=record python "):
        await replay()
    await ask_all(tmp_path, memory, "a")
    with pytest.raises(UnrecordedCallError, match="none of the 1 recordings there is similar"):
        await replay()
    with recording(tmp_path, "record"):
        await cached(cache=memory, version=1)(zzz.__wrapped__)(1)
    with pytest.raises(UnrecordedCallError, match="nearest: zzz-"):
        await replay()


def test_the_environment_variable_takes_precedence_over_the_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recording(tmp_path).mode == "replay"
    monkeypatch.setenv("AIOCACHE_PE_RECORD", "record")
    assert recording(tmp_path, "replay").mode == "record"
    assert repr(recording(tmp_path)) == f"Recorder({str(tmp_path)!r}, 'record')"
    monkeypatch.setenv("AIOCACHE_PE_RECORD", "sometimes")
    with pytest.raises(ConfigurationError, match=r"'record', 'replay', 'off'; got 'sometimes'"):
        recording(tmp_path)


def test_a_block_cannot_be_entered_twice_at_once(tmp_path: Path) -> None:
    block = recording(tmp_path)
    with block, pytest.raises(RuntimeError, match="entered already"):
        block.__enter__()
    with block:
        pass


async def test_the_error_for_a_directory_that_cannot_be_written_names_it(
    tmp_path: Path, memory: CacheManager
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match=r"cannot write the recording .*file/ask"):
        await ask_all(tmp_path / "file", memory, "a")


async def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, memory: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_disk_full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    await ask_all(tmp_path, memory, "old")
    monkeypatch.setattr(os, "replace", raise_disk_full)
    with pytest.raises(BackendError, match="No space left"):
        await ask_all(tmp_path, memory, "new")
    monkeypatch.undo()
    assert await ask_all(tmp_path, memory, "x", mode="replay") == ["old"]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "apiKey", "X-Api-Key", "secret_key", "private_key", "access_key"),
        *("aws_secret_access_key", "clientSecret", "client_secret", "accessToken", "passphrase"),
        *("Ocp-Apim-Subscription-Key", "Authorization", "token"),
    ],
)
def test_a_value_under_the_name_of_a_secret_is_hidden(name: str) -> None:
    assert redact_fields({"settings": [{name: SECRET}]}) == {"settings": [{name: HIDDEN}]}


@pytest.mark.parametrize("name", ["max_tokens", "key", "keyboard", "secretary", "cookies_eaten"])
def test_other_values_are_not_hidden(name: str) -> None:
    assert redact_fields({name: "shown"}) == {name: "shown"}
