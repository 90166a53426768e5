"""A directory of recorded calls, and the block in which calls go to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, Self

from aiocache_pe.codecs.pickle_codec import find_difference
from aiocache_pe.context import Call, use_cassette
from aiocache_pe.exceptions import (
    BackendError,
    CacheError,
    ConfigurationError,
    UnrecordedCallError,
)
from aiocache_pe.recordings.files import (
    RecordedCall,
    file_name,
    load,
    make_recorded,
    parse_digest,
    read_answer,
    render,
    save,
)
from aiocache_pe.recordings.missing_call import VARIABLE, make_error
from aiocache_pe.runtime.single_flight import Flights
from aiocache_pe.sentinels import MISSING

RecordMode = Literal["record", "replay", "off"]
MODES: tuple[RecordMode, ...] = ("record", "replay", "off")


class Recorder:
    """A block in which cached calls are recorded, or answered by what was recorded.

    Made by `recording`. It steers the calls of the whole process, those of other threads and
    tasks too; a block inside it, of this task, goes before it.

    Args:
        directory: where the files are; it is made when there is something to write.
        mode: ``"record"``, ``"replay"`` or ``"off"``.
        command: how to record, as errors name it; ``None`` for the program that runs.

    Attributes:
        directory: where the files are.
        mode: what is done with calls.
        unrecorded: the errors of calls that nobody recorded, when they were replayed.
    """

    def __init__(
        self, directory: str | os.PathLike[str], mode: RecordMode, *, command: str | None = None
    ) -> None:
        self.directory = Path(directory)
        self.mode = mode
        self.unrecorded: list[UnrecordedCallError] = []
        self._command = command
        self._flights = Flights()
        self._files: dict[str, str] = {}  # by the digests in their names
        self._there: dict[str, RecordedCall] = {}
        self._used: set[str] = set()
        self._block: use_cassette | None = None

    def find(self, call: Call) -> Any:
        """See `Cassette.find`."""
        __tracebackhide__ = True  # so that pytest shows the line that asked
        name = self._name(call)
        if name in self._used:
            return read_answer(self._there[name], name)
        if self.mode == "record":
            return MISSING
        if name not in self._there:
            error = make_error(call, self.directory, self._there, self._command)
            self.unrecorded.append(error)
            raise error
        self._used.add(name)
        return read_answer(self._there[name], name)

    async def store(self, call: Call, value: Any) -> None:
        """See `Cassette.keep`. Of two answers to one call the first counts, for all who ask."""
        name = self._name(call)
        if name in self._used or (call.is_recordable is not None and not call.is_recordable(value)):
            return
        new = make_recorded(call, value)
        old = self._there.get(name)
        if old is None or not _is_same(call, name, old, new):
            path = self.directory / name
            try:
                await asyncio.to_thread(save, new, path)
            except OSError as error:
                raise BackendError(f"cannot write the recording {path}: {error}") from error
            self._there[name] = new
            self._files[parse_digest(name)] = name
        self._used.add(name)

    async def answer(self, call: Call, compute: Callable[[], Awaitable[Any]]) -> Any:
        """See `Cassette.answer`. Who asks while another's answer is on its way waits for it."""
        __tracebackhide__ = True
        found = self.find(call)
        if found is not MISSING:
            return found

        async def work(max_wait: float | None) -> Any:
            value = self.find(call)
            if value is MISSING:
                value = await compute()
                await self.store(call, value)
            return value

        value, _ = await self._flights.run(call.key, work)
        # Of two answers that say the same the older is in the file, and what follows from it.
        kept = self.find(call)
        return value if kept is MISSING else kept

    def used(self) -> list[Path]:
        """The files of calls that were made, in the order of their names."""
        return [self.directory / name for name in sorted(self._used)]

    def unused(self) -> list[Path]:
        """The files of calls that were not made, in the order of their names."""
        return [self.directory / name for name in sorted(self._there) if name not in self._used]

    def remove_unused(self) -> list[Path]:
        """Remove the files of calls that were not made; which they were.

        To be asked when everything ran that uses this directory.
        """
        removed = self.unused()
        for path in removed:
            path.unlink(missing_ok=True)
            self._forget(path.name)
        return removed

    def check(self) -> None:
        """Raise the error of a call that nobody recorded, if there was one.

        Leaving the block does that too: so a program that catches errors of its services,
        and goes on without them, does not hide what is missing. Clear `unrecorded` if you
        expected it.

        Raises:
            UnrecordedCallError: the first of them.
        """
        if self.unrecorded:
            error = self.unrecorded[0]
            self.unrecorded.clear()
            raise error

    def report(self, error: BaseException) -> None:
        """Add to another error what was not recorded: it may be the reason."""
        if self.unrecorded and not isinstance(error, UnrecordedCallError):
            error.add_note(str(self.unrecorded[0]))
        self.unrecorded.clear()

    def __enter__(self) -> Self:
        self._begin()
        self._enter()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        block, self._block = self._block, None
        if block is None:
            return
        block.__exit__()
        if error is None:
            self.check()
        else:
            self.report(error)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._begin)
        self._enter()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"Recorder({str(self.directory)!r}, {self.mode!r})"

    def _begin(self) -> None:
        """Read what there is."""
        if self._block is not None:
            raise RuntimeError(f"this recording of {self.directory} is entered already")
        self.unrecorded.clear()
        self._used.clear()
        try:
            self._there = {} if self.mode == "off" else load(self.directory)
        except OSError as error:
            raise BackendError(f"cannot read the recordings: {error}") from error
        self._files = {parse_digest(name): name for name in self._there}

    def _enter(self) -> None:
        self._block = use_cassette(None if self.mode == "off" else self).__enter__()

    def _name(self, call: Call) -> str:
        """The name of a call's file: the one it has, if there is one."""
        name = file_name(call)
        return self._files.get(parse_digest(name), name)

    def _forget(self, name: str) -> None:
        self._there.pop(name, None)
        self._files.pop(parse_digest(name), None)


def recording(directory: str | os.PathLike[str], mode: RecordMode = "replay") -> Recorder:
    """Record the cached calls within the block, or answer them with what was recorded.

    So tests of code that asks a model run without network, key or cost, and fail where they
    ask what nobody recorded. Recorded are the calls of decorated functions of all kinds,
    of ``get_or_set``, of LangChain's models, and what goes through the transports for httpx;
    caches are left out of it, and ``bypass``, ``refresh`` and ``read_only`` do not count
    meanwhile. A call has one answer, which never expires. Arguments and answers are written
    to files that are made to be reviewed and committed; secrets are not.

    Args:
        directory: where the files are.
        mode: ``"record"`` makes each call once and keeps its answer; ``"replay"`` makes none;
            ``"off"`` does nothing. The environment variable ``AIOCACHE_PE_RECORD`` goes first.

    Returns:
        A context manager, for ``with`` and ``async with``; see `Recorder`.

    Raises:
        ConfigurationError: there is no such mode.

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
    return Recorder(directory, record_mode(os.environ.get(VARIABLE) or mode))


def record_mode(mode: str) -> RecordMode:
    """A mode that somebody wrote.

    Raises:
        ConfigurationError: there is no such mode.
    """
    for known in MODES:
        if mode == known:
            return known
    raise ConfigurationError(
        f"mode {mode!r:.80}, as given or by {VARIABLE}; accepted are {', '.join(map(repr, MODES))}"
    )


def _is_same(call: Call, name: str, old: RecordedCall, new: RecordedCall) -> bool:
    """Whether a file can stay as it is."""
    if render(old) == render(new):
        return True
    try:
        before, now = read_answer(old, name), read_answer(new, name)
    except CacheError:  # somebody edited what is there
        return False
    if call.is_same is not None:
        return call.is_same(before, now)
    return find_difference(before, now) is None  # the order of a set is none
