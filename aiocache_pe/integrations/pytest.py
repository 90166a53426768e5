"""Plugin for pytest: cached calls of marked tests are answered by recordings.

A test run without recordings imports only the names of the library.
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
_MAX_FOLDER_LENGTH = 80
_recorder_key = pytest.StashKey["Recorder"]()
_usage_key = pytest.StashKey["_Usage"]()
_passed_key = pytest.StashKey[bool]()


class _Usage:
    """The recordings that the tests of a run used.

    Attributes:
        used: the names of the used files, by directory.
        incomplete: directories with a test that failed or did not use its recordings, so that
            the used files are not all known.
        stopped: whether the run ended before all of its tests ran.
    """

    def __init__(self) -> None:
        self.used: dict[str, set[str]] = {}
        self.incomplete: set[str] = set()
        self.stopped = False

    def add(self, directory: str, names: list[str]) -> None:
        self.used.setdefault(directory, set()).update(names)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("aiocache_pe", "recorded calls")
    group.addoption(
        "--aiocache-record",
        choices=("record", "replay", "off"),
        help=f"mode of cached calls in tests marked {MARK}; replay is the default",
    )
    group.addoption(
        "--aiocache-unused",
        choices=("list", "remove"),
        help="list or remove recordings that the tests of this run did not use",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, and set the environment variable to the mode of the option."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(directory): answer cached calls by recordings in recordings/directory beside "
        "the test's file; by default in a directory of the test's own",
    )
    config.stash[_usage_key] = _Usage()
    mode = config.getoption("--aiocache-record")
    if mode is not None:
        patch = pytest.MonkeyPatch()
        patch.setenv(VARIABLE, mode)
        config.add_cleanup(patch.undo)


@pytest.fixture
def aiocache_recording(request: pytest.FixtureRequest) -> Recorder:
    """Return the recordings of this test, which needs no mark."""
    recorder: Recorder = request.node.stash[_recorder_key]
    return recorder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Start the recording before the fixtures, because their calls belong to the test."""
    directory = _find_directory(item)
    if directory is not None:
        # Not at the top, because most test runs do not use recordings.
        from aiocache_pe.recordings.recorder import Recorder, parse_mode  # noqa: PLC0415

        mode = parse_mode(os.environ.get(VARIABLE) or "replay")
        command = f"pytest '{item.nodeid}' --aiocache-record=record"
        item.stash[_recorder_key] = Recorder(directory, mode, command=command).__enter__()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test that suppresses the error of an unrecorded call."""
    recorder = item.stash.get(_recorder_key, None)
    if recorder is None:
        return (yield)
    try:
        result = yield
    except BaseException as error:
        recorder.report(error)
        raise
    recorder.check()
    item.stash[_passed_key] = True
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """End the recording after the fixtures."""
    try:
        return (yield)
    finally:
        recorder = item.stash.get(_recorder_key, None)
        if recorder is not None:
            del item.stash[_recorder_key]
            _add_usage(item, recorder)
            recorder.__exit__(None, None, None)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Note whether all tests ran; send the usage of a pytest-xdist worker to its controller."""
    usage = session.config.stash[_usage_key]
    complete = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if session.shouldstop or session.shouldfail or exitstatus not in complete:
        usage.stopped = True
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        used = {directory: sorted(names) for directory, names in usage.used.items()}
        output["aiocache_pe"] = {
            "used": used,
            "incomplete": sorted(usage.incomplete),
            "stopped": usage.stopped,
        }


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Add the usage of a pytest-xdist worker."""
    usage: _Usage = node.config.stash[_usage_key]
    output = getattr(node, "workeroutput", {})  # without this entry if the worker crashed
    sent = output.get("aiocache_pe", {"stopped": True})
    usage.stopped = usage.stopped or sent["stopped"]
    usage.incomplete.update(sent.get("incomplete", ()))
    for directory, names in sent.get("used", {}).items():
        usage.add(directory, names)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Report or remove unused recordings."""
    action = config.getoption("--aiocache-unused")
    usage = config.stash[_usage_key]
    if action is None or not usage.used:
        return
    terminalreporter.section("recordings")
    if usage.stopped:
        terminalreporter.write_line("unused recordings are unknown, because not all tests ran")
        return
    from aiocache_pe.recordings.files import list_files  # noqa: PLC0415 - as above

    unused = [
        path
        for directory, names in sorted(usage.used.items())
        if directory not in usage.incomplete
        for path in list_files(Path(directory))
        if path.name not in names
    ]
    state = "removed" if action == "remove" else "not used"
    for path in unused:
        if action == "remove":
            path.unlink(missing_ok=True)
        terminalreporter.write_line(
            f"{state}: {os.path.relpath(path, config.invocation_params.dir)}"
        )
    terminalreporter.write_line(f"{len(unused)} recordings {state}")


def _find_directory(item: pytest.Item) -> Path | None:
    """Return the directory of a test's recordings; ``None`` if the test has none."""
    mark = item.get_closest_marker(MARK)
    if mark is None and MARK not in getattr(item, "fixturenames", ()):
        return None
    name = None if mark is None else _parse_mark(*mark.args, **mark.kwargs)
    parent = item.path.parent / "recordings"
    return parent / name if name else parent / item.path.stem / _make_folder_name(item)


def _parse_mark(
    directory: str | os.PathLike[str] | None = None,
) -> str | os.PathLike[str] | None:
    """Return the only argument of a mark."""
    if not isinstance(directory, str | os.PathLike | None):
        raise TypeError(f"{MARK} takes a directory; got {directory!r:.80}")
    return directory


def _make_folder_name(item: pytest.Item) -> str:
    """Return a name for a test's own directory, by a digest where it cannot be a file name."""
    name = item.nodeid.partition("::")[2].replace("::", ".")
    cleaned = re.sub(r"[^\w.-]+", "-", name).strip("-")
    usual = name.replace("[", "-").removesuffix("]")
    if cleaned == usual and len(cleaned) <= _MAX_FOLDER_LENGTH:
        return cleaned
    digest = blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{cleaned[:_MAX_FOLDER_LENGTH]}-{digest}"


def _add_usage(item: pytest.Item, recorder: Recorder) -> None:
    directory = str(recorder.directory)
    usage = item.config.stash[_usage_key]
    usage.add(directory, [path.name for path in recorder.used()])
    if not item.stash.get(_passed_key, False) or recorder.mode == "off":
        usage.incomplete.add(directory)
