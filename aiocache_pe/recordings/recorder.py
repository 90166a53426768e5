"""Recordings: the block in which cached calls are recorded or replayed."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, Self

from aiocache_pe.codecs.pickle_codec import find_difference
from aiocache_pe.context import Call, Turns, use_cassette
from aiocache_pe.exceptions import BackendError, CacheError, ConfigurationError, UnrecordedCallError
from aiocache_pe.recordings import files
from aiocache_pe.recordings.missing_call import VARIABLE, make_error
from aiocache_pe.runtime.single_flight import Flight, Flights
from aiocache_pe.runtime.threads import call_in_thread
from aiocache_pe.sentinels import MISSING

RecordMode = Literal["record", "replay", "off"]
MODES: tuple[RecordMode, ...] = ("record", "replay", "off")


class Recorder:
    """A block in which cached calls are recorded, or answered by recordings.

    `recording` creates it. It applies to the calls of the whole process, also in other threads
    and tasks. A block inside it, in the same task, takes precedence.

    Args:
        directory: the directory of the files; it is created for the first file.
        mode: ``"record"``, ``"replay"`` or ``"off"``.
        command: the command that records, for error messages; ``None`` for the command of this
            process.

    Attributes:
        directory, mode: as given.
        unrecorded: the errors of calls without a recording during a replay.
        turns: the numbers of samples inside the block.
    """

    def __init__(
        self, directory: str | os.PathLike[str], mode: RecordMode, *, command: str | None = None
    ) -> None:
        self.directory = Path(directory)
        self.mode = mode
        self.unrecorded: list[UnrecordedCallError] = []
        self.turns: Turns = {}
        self._command = command
        self._flights = Flights()
        self._recordings: dict[str, files.RecordedCall] = {}  # by file name
        self._names: dict[str, str] = {}  # file names by the digests in them
        self._used: set[str] = set()
        self._scope: use_cassette | None = None

    def find(self, call: Call) -> Any:
        """Return the recorded answer of a call; `MISSING` if the call is to be made.

        Raises:
            UnrecordedCallError: there is no recorded answer, and no call is to be made.
        """
        __tracebackhide__ = True  # pytest then shows the line of the call
        name = self._get_name(call)
        if name not in self._used:
            if self.mode == "record":
                return MISSING
            if name not in self._recordings:
                error = make_error(call, self.directory, self._recordings, self._command)
                self.unrecorded.append(error)
                raise error
            self._used.add(name)
        return files.read_answer(self._recordings[name], name)

    async def store(self, call: Call, value: Any) -> None:
        """Record the answer of a call. The first of two answers counts, for all callers.

        Raises:
            SerializationError: the answer cannot be recorded.
            BackendError: the file cannot be written.
        """
        name = self._get_name(call)
        if name in self._used or (call.is_recordable is not None and not call.is_recordable(value)):
            return
        new = files.make_recorded_call(call, value)
        old = self._recordings.get(name)
        if old is None or not _is_same(call, name, old, new):
            path = self.directory / name
            try:
                await call_in_thread(files.save, new, path)
            except OSError as error:
                raise BackendError(f"cannot write the recording {path}: {error}") from error
            self._recordings[name] = new
            self._names[files.parse_digest(name)] = name
        self._used.add(name)

    async def answer(self, call: Call, compute: Callable[[], Awaitable[Any]]) -> Any:
        """Return the recorded answer of a call, or compute and record it once for all callers."""
        __tracebackhide__ = True
        answer = self.find(call)
        if answer is not MISSING:
            return answer

        async def work(flight: Flight, max_wait: float | None) -> Any:
            value = self.find(call)
            if value is MISSING:
                value = await compute()
                await self.store(call, value)
            return value

        value, _ = await self._flights.run(call.key, work)
        # If an older answer is equivalent, the file keeps it, so that later calls that contain
        # one of its ids stay the same.
        recorded = self.find(call)
        return value if recorded is MISSING else recorded

    def used(self) -> list[Path]:
        """Return the files of calls that were made, sorted by name."""
        return [self.directory / name for name in sorted(self._used)]

    def unused(self) -> list[Path]:
        """Return the files of calls that were not made, sorted by name."""
        return [self.directory / name for name in sorted(self._recordings.keys() - self._used)]

    def remove_unused(self) -> list[Path]:
        """Remove the files of calls that were not made, and return them.

        Call it after everything that uses this directory has run.
        """
        removed = self.unused()
        for path in removed:
            path.unlink(missing_ok=True)
            self._recordings.pop(path.name, None)
            self._names.pop(files.parse_digest(path.name), None)
        return removed

    def check(self) -> None:
        """Raise the error of a call without a recording, if there was one.

        The end of the block does this too. Therefore a program that catches the errors of its
        services, and continues without them, does not hide a missing recording. Clear
        `unrecorded` if the error was expected.

        Raises:
            UnrecordedCallError: the first of them.
        """
        if self.unrecorded:
            error = self.unrecorded[0]
            self.unrecorded.clear()
            raise error

    def report(self, error: BaseException) -> None:
        """Add a note on the missing recording to another error, as it may be the cause."""
        if self.unrecorded and not isinstance(error, UnrecordedCallError):
            error.add_note(str(self.unrecorded[0]))
        self.unrecorded.clear()

    def __enter__(self) -> Self:
        self._load()
        return self._enter()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        scope, self._scope = self._scope, None
        if scope is None:
            return
        scope.__exit__()
        if error is None:
            self.check()
        else:
            self.report(error)

    async def __aenter__(self) -> Self:
        await call_in_thread(self._load)
        return self._enter()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"Recorder({str(self.directory)!r}, {self.mode!r})"

    def _load(self) -> None:
        if self._scope is not None:
            raise RuntimeError(f"the recording of {self.directory} is entered already")
        self.unrecorded.clear()
        self.turns.clear()
        self._used.clear()
        try:
            self._recordings = {} if self.mode == "off" else files.load(self.directory)
        except OSError as error:
            raise BackendError(f"cannot read the recordings: {error}") from error
        self._names = {files.parse_digest(name): name for name in self._recordings}

    def _enter(self) -> Self:
        self._scope = use_cassette(None if self.mode == "off" else self).__enter__()
        return self

    def _get_name(self, call: Call) -> str:
        """Return the name of a call's file, which may be renamed, or a new name."""
        name = files.make_file_name(call)
        return self._names.get(files.parse_digest(name), name)


def recording(directory: str | os.PathLike[str], mode: RecordMode = "replay") -> Recorder:
    """Record the cached calls within the block, or answer them by recordings.

    Tests of code that calls a model then need no network, no key and no money. They fail at a
    call without a recording. The block applies to calls of decorated functions of all kinds, of
    ``get_or_set``, of LangChain's models, and to requests through the transports for httpx. It
    replaces their caches, and ``bypass``, ``refresh`` and ``read_only`` have no effect in it. A
    call has one answer, which never expires. Arguments and answers are written to files for
    review and commit, without secrets.

    Args:
        directory: the directory of the files.
        mode: ``"record"`` makes each call once and records its answer; ``"replay"`` makes no
            call; ``"off"`` has no effect. The environment variable ``AIOCACHE_PE_RECORD`` takes
            precedence.

    Returns:
        A context manager, for ``with`` and ``async with``; see `Recorder`.

    Raises:
        ConfigurationError: the mode is not valid.

    Example:
        >>> from aiocache_pe import cached, recording
        >>> @cached(backend="memory")
        ... def answer(question: str) -> str:
        ...     print("asking a model")
        ...     return "42"
        >>> with recording("recordings/answers", "record"):
        ...     answer("What is six times seven?")
        asking a model
        '42'
        >>> with recording("recordings/answers"):
        ...     answer("What is six times seven?")
        '42'
    """
    return Recorder(directory, parse_mode(os.environ.get(VARIABLE) or mode))


def parse_mode(mode: str) -> RecordMode:
    """Return a valid mode.

    Raises:
        ConfigurationError: the mode is not valid.
    """
    for valid in MODES:
        if mode == valid:
            return valid
    raise ConfigurationError(
        f"mode, or {VARIABLE}, must be one of {', '.join(map(repr, MODES))}; got {mode!r:.80}"
    )


def _is_same(call: Call, name: str, old: files.RecordedCall, new: files.RecordedCall) -> bool:
    """Return whether the old file of a call can remain."""
    if files.render(old) == files.render(new):
        return True
    try:
        before, after = files.read_answer(old, name), files.read_answer(new, name)
    except CacheError:  # the old file was edited and is not valid
        return False
    if call.is_same is not None:
        return call.is_same(before, after)
    return find_difference(before, after) is None  # the same set may have another order
