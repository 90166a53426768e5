"""The program in a process of its own: exit codes, pipes, terminals and signals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import (
    CTRL_C,
    MODULE,
    ROOT,
    install_slow_store,
    make_environment,
    press_ctrl_c,
    run_at_terminal,
    run_program,
)

pytestmark = pytest.mark.usefixtures("interruptible")

APPLICATION = """
import asyncio
from aiocache_pe.cache.manager import CacheManager

async def main():
    async with CacheManager() as cache:
        await cache.set("k", {"answer": 42})
        for key in ("k", "k", "absent"):
            await cache.get(key)

asyncio.run(main())
"""
HEAVY = {
    "aiocache_pe.decorators",
    "aiocache_pe.eviction.adaptive",
    "anyio",
    "numpy",
    "pydantic",
    "redis",
    "rich",
}

# Prints a line before it reads the input, so that the signal arrives during the read.
START = """
import sys
from aiocache_pe.cli.main import main

class Input:
    @property
    def buffer(self):
        print("ready", flush=True)
        return real.buffer

real, sys.stdin = sys.stdin, Input()
main()
"""


def test_the_program_sees_the_entries_and_counters_of_an_application(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", APPLICATION],
        cwd=tmp_path,
        env=make_environment(),
        check=True,
        timeout=60,
    )
    found = json.loads(run_program(tmp_path, "--stats", "--json").out)
    assert (found["sets"], found["hits"], found["misses"]) == (1, 2, 1)
    assert run_program(tmp_path, "--get", "k").out == '{"answer":42}\n'


def test_exit_codes_of_a_real_process(tmp_path: Path) -> None:
    assert run_program(tmp_path, "--stats").code == 3
    assert run_program(tmp_path, "--set", "k", "v").code == 0
    assert run_program(tmp_path, "--get", "absent").code == 1
    assert run_program(tmp_path, "--nonsense").code == 2


def test_the_script_and_the_module_start_the_same_program(tmp_path: Path) -> None:
    script = tmp_path / "aiocache-pe"
    script.write_text("from aiocache_pe.cli.main import main\nmain()\n")
    by_script = subprocess.run(
        [sys.executable, script, "--help"],
        env=make_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    by_module = run_program(tmp_path, "--help").out
    assert by_script.startswith("Usage: aiocache-pe [OPTIONS]")
    assert by_module.startswith("Usage: python -m aiocache_pe [OPTIONS]")
    assert by_script.splitlines()[1:] == by_module.splitlines()[1:]


def test_a_reading_command_imports_no_heavy_module(tmp_path: Path) -> None:
    run_program(tmp_path, "set", "k", "1")
    code = (
        "import sys\nfrom aiocache_pe.cli.main import program\n"
        "try:\n    program.main(['--get', 'k'])\nexcept SystemExit:\n"
        f"    print(*sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=make_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "1\n\n"


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    run_program(tmp_path, "set", "k", "-", stdin="x" * 1_000_000)
    with subprocess.Popen(
        [*MODULE, "get", "k"],
        cwd=tmp_path,
        env=make_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_full_or_closed_output(tmp_path: Path) -> None:
    run_program(tmp_path, "set", "k", "v")
    command = f"{sys.executable} -m aiocache_pe get k"
    for redirection, code, words in ((">/dev/full", 3, "No space left"), (">&-", 0, "")):
        done = subprocess.run(
            ["/bin/sh", "-c", f"{command} {redirection}"],
            cwd=tmp_path,
            env=make_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == bool(words)


def test_a_full_or_closed_output_of_a_command_that_fails(tmp_path: Path) -> None:
    (tmp_path / "cache.json").write_text('{"good": {"value": 1}, "bad": {}}')
    reading, writing = os.pipe()
    os.close(reading)
    with Path("/dev/full").open("wb") as full, os.fdopen(writing, "wb") as exit_code:
        for output, code in ((full, 3), (exit_code, 141)):
            done = subprocess.run(
                [*MODULE, "import", "--format", "legacy-json", "cache.json"],
                cwd=tmp_path,
                env=make_environment(),
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == code
            assert len(done.stderr.splitlines()) <= 1


@pytest.mark.parametrize("command", ["set k -", "warm -", "import --format legacy-json -"])
def test_a_closed_input_is_an_error(tmp_path: Path, command: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m aiocache_pe {command} <&-"],
        cwd=tmp_path,
        env=make_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == "Error: standard input is closed (see --help)\n"


def test_characters_that_the_output_cannot_encode_are_escaped(tmp_path: Path) -> None:
    run_program(tmp_path, "set", "k", '{"é": "\\ud800"}')
    assert run_program(tmp_path, "get", "k").out == '{"\\u00e9":"\\ud800"}\n'
    run_program(tmp_path, "set", "text", "héllo")
    result = run_program(tmp_path, "get", "text", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert (result.code, result.out) == (0, "h\\xe9llo\n")
    result = run_program(
        tmp_path, "get", "text", "--json", PYTHONUTF8="0", PYTHONIOENCODING="ascii"
    )
    assert json.loads(result.out)["value"] == "héllo"


def test_a_terminal_gets_indented_json_and_no_control_sequences(tmp_path: Path) -> None:
    run_program(tmp_path, "set", "data", '{"a": 1}')
    assert run_at_terminal(tmp_path, "get", "data").out == '{\n  "a": 1\n}\n'
    run_program(tmp_path, "set", "red\x1b[31m\n", json.dumps("title\x1b]0;x\x07\nline"))
    assert run_at_terminal(tmp_path, "keys", "red*").out == "red\\u001b[31m\\u000a\n"
    result = run_at_terminal(tmp_path, "get", "red\x1b[31m\n")
    assert result.out == "title\\u001b]0;x\\u0007\nline\n"
    assert run_program(tmp_path, "get", "red\x1b[31m\n").out == "title\x1b]0;x\x07\nline\n"


def test_a_terminal_gets_tables(tmp_path: Path) -> None:
    run_program(tmp_path, "set", "[red]k[/red]", "1")
    for args, word in ((["stats"], "hit rate"), (["inspect", "[red]k[/red]"], "[red]k[/red]")):
        result = run_at_terminal(tmp_path, *args)
        assert result.code == 0
        assert word in result.out


@pytest.mark.parametrize(
    ("typed", "code", "exit_code"), [("y\n", 0, 1), ("n\n", 1, 0), ("\n", 1, 0), (CTRL_C, 130, 0)]
)
def test_clear_asks_and_shows_the_number_of_entries(
    tmp_path: Path, typed: str, code: int, exit_code: int
) -> None:
    run_program(tmp_path, "set", "a", "1")
    run_program(tmp_path, "set", "b", "1")
    prompt = run_at_terminal(tmp_path, "clear", wait_for="[y/N]", typed=typed)
    assert prompt.code == code
    assert "Remove 2 entries of namespace 'default'" in prompt.out
    assert "Traceback" not in prompt.out
    assert run_program(tmp_path, "get", "a").code == exit_code


def test_ctrl_c_ends_a_command_quietly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_slow_store(tmp_path / "site", monkeypatch)
    with subprocess.Popen(
        [*MODULE, "--backend", "slow://60", "clear", "--yes"],
        cwd=tmp_path,
        env=make_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "clearing\n"
        code = press_ctrl_c(process)
        assert process.stdout is not None
        out, err = process.stdout.read(), process.stderr.read()
    assert (code, out, err.strip()) == (130, "", "")


def test_ctrl_c_ends_the_wait_for_the_standard_input(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START, "set", "k", "-"],
        cwd=tmp_path,
        env=make_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        code = press_ctrl_c(process)
        assert process.stderr is not None
        assert process.stderr.read().strip() == ""
    assert code == 130
    assert list(tmp_path.iterdir()) == []


def test_only_a_terminal_gets_a_progress_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_slow_store(tmp_path / "site", monkeypatch)
    args = ("--backend", "slow://1.5", "clear", "--yes")
    assert "Removing entries" in run_at_terminal(tmp_path, *args).out
    alone = run_program(tmp_path, *args)
    assert (alone.out, alone.err) == ("removed 3 entries\n", "clearing\n")


def test_the_project_declares_the_program() -> None:
    assert 'aiocache-pe = "aiocache_pe.cli.main:main"' in (ROOT / "pyproject.toml").read_text()
