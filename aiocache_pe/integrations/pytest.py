"""A plugin for pytest: marked tests are answered by recordings, each by its own directory.

A run of tests that records nothing imports no more of the library than the names in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from aiocache_pe.recordings.recorder import Recorder

MARK = "aiocache_recording"
VARIABLE = "AIOCACHE_PE_RECORD"
_LONGEST = 80
_mine = pytest.StashKey["Recorder"]()
_seen = pytest.StashKey["_Seen"]()
_passed = pytest.StashKey[bool]()


class _Seen:
    """What the tests of a run used.

    Attributes:
        used: the names of files, by directory.
        partly: directories of which a test did not come to its end, or did not ask the
            recordings, so that nobody knows.
        stopped: whether tests that were to run did not.
    """

    def __init__(self) -> None:
        self.used: dict[str, set[str]] = {}
        self.partly: set[str] = set()
        self.stopped = False

    def add(self, directory: str, names: list[str]) -> None:
        self.used.setdefault(directory, set()).update(names)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("aiocache_pe", "recorded calls")
    group.addoption(
        "--aiocache-record",
        choices=("record", "replay", "off"),
        help=f"what cached calls do in tests marked {MARK}; replay is the default",
    )
    group.addoption(
        "--aiocache-unused",
        choices=("list", "remove"),
        help="what to do with recordings that the tests of this run did not use",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Explain the mark; and let the option hold for whoever asks the environment."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(directory): answer cached calls by what was recorded, in recordings/directory "
        "beside the test's file; by default a directory of the test's own",
    )
    config.stash[_seen] = _Seen()
    mode = config.getoption("--aiocache-record")
    if mode is not None:
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = mode
        config.add_cleanup(lambda: _restore(before))


@pytest.fixture
def aiocache_recording(request: pytest.FixtureRequest) -> Recorder:
    """The recordings of this test, which is recorded as if it were marked."""
    recordings: Recorder = request.node.stash[_mine]
    return recordings


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Begin before the fixtures, which may ask something too."""
    directory = _directory(item)
    if directory is not None:
        # Only now: most runs of tests have nothing to do with recordings.
        from aiocache_pe.recordings.recorder import Recorder, record_mode  # noqa: PLC0415

        mode = record_mode(os.environ.get(VARIABLE) or "replay")
        command = f"pytest '{item.nodeid}' --aiocache-record=record"
        item.stash[_mine] = Recorder(directory, mode, command=command).__enter__()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test that hides what is missing."""
    recordings = item.stash.get(_mine, None)
    if recordings is None:
        return (yield)
    try:
        result = yield
    except BaseException as error:
        recordings.report(error)
        raise
    recordings.check()
    item.stash[_passed] = True
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """End after the fixtures."""
    try:
        return (yield)
    finally:
        recordings = item.stash.get(_mine, None)
        if recordings is not None:
            del item.stash[_mine]
            _note(item, recordings)
            recordings.__exit__(None, None, None)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Note whether all ran; a worker of pytest-xdist tells what it saw."""
    seen = session.config.stash[_seen]
    complete = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if session.shouldstop or session.shouldfail or exitstatus not in complete:
        seen.stopped = True
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        used = {directory: sorted(names) for directory, names in seen.used.items()}
        output["aiocache_pe"] = {
            "used": used,
            "partly": sorted(seen.partly),
            "stopped": seen.stopped,
        }


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """And its controller takes it."""
    seen: _Seen = node.config.stash[_seen]
    told = getattr(node, "workeroutput", {}).get("aiocache_pe", {"stopped": True})  # it crashed
    seen.stopped = seen.stopped or told["stopped"]
    seen.partly.update(told.get("partly", ()))
    for directory, names in told.get("used", {}).items():
        seen.add(directory, names)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Tell of recordings that nobody used, or remove them."""
    what = config.getoption("--aiocache-unused")
    seen = config.stash[_seen]
    if what is None or not seen.used:
        return
    terminalreporter.section("recordings")
    if seen.stopped:
        terminalreporter.write_line("which are unused is not known: not all tests ran")
        return
    from aiocache_pe.recordings.files import load_all  # noqa: PLC0415 - as above

    unused = [
        path
        for directory, names in sorted(seen.used.items())
        if directory not in seen.partly
        for path in load_all(Path(directory))
        if path.name not in names
    ]
    done = "removed" if what == "remove" else "not used"
    for path in unused:
        if what == "remove":
            path.unlink(missing_ok=True)
        terminalreporter.write_line(
            f"{done}: {os.path.relpath(path, config.invocation_params.dir)}"
        )
    terminalreporter.write_line(f"{len(unused)} recordings {done}")


def _directory(item: pytest.Item) -> Path | None:
    """Where a test's recordings are; ``None`` if it has none."""
    mark = item.get_closest_marker(MARK)
    if mark is None and MARK not in getattr(item, "fixturenames", ()):
        return None
    given = None
    if mark is not None:
        given = _given(*mark.args, **mark.kwargs)
    home = item.path.parent / "recordings"
    return home / given if given else home / item.path.stem / _folder(item)


def _given(directory: str | os.PathLike[str] | None = None) -> str | os.PathLike[str] | None:
    """What a mark says, if it says but that."""
    if not isinstance(directory, str | os.PathLike | None):
        raise TypeError(f"{MARK} takes a directory, not {directory!r:.80}")
    return directory


def _folder(item: pytest.Item) -> str:
    """A name for a test's own directory, also where its parameters are no file names."""
    name = item.nodeid.partition("::")[2].replace("::", ".")
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-")
    usual = name.replace("[", "-").removesuffix("]")
    if plain == usual and len(plain) <= _LONGEST:
        return plain
    return f"{plain[:_LONGEST]}-{blake2b(name.encode(), digest_size=4).hexdigest()}"


def _note(item: pytest.Item, recordings: Recorder) -> None:
    directory = str(recordings.directory)
    seen = item.config.stash[_seen]
    seen.add(directory, [path.name for path in recordings.used()])
    if not item.stash.get(_passed, False) or recordings.mode == "off":
        seen.partly.add(directory)


def _restore(before: str | None) -> None:
    if before is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = before
