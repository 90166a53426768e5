"""Model of client tracking: a process keeps a copy of a Redis entry until it learns of a change.

The server holds one entry, which this process and another one overwrite. A listener of this process
has a connection, on which the server sends a message for each change of the entry.

1. A reader registers a version of the key before it sends the read. It keeps the answer as the copy
   under this version. Readers share a version for as long as it is current.
2. A message makes the present version invalid. A write of this process does so as well, before it
   returns. Its own message comes later, and makes a newer version invalid in vain.
3. A version belongs to a session of the listener. The session ends when the listener notices that
   its connection is lost. A new connection begins a new session.
4. The copy is served while its version is valid and its session is the present one.

Promises: after a write of this process has returned, no older copy is served here. A copy is older
than the entry only while a message is on its way, or a lost connection is not noticed yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

LATE_VERSION = "version after the answer"
KEPT_WRITE = "written value is kept"
LASTING_SESSION = "session outlives its connection"
FAULTS = (LATE_VERSION, KEPT_WRITE, LASTING_SESSION)
WRITES = 3  # by both processes together
LOSSES = 1  # of the connection


class Version(NamedTuple):
    """A version of the key: its number, and the session of the listener; 0 is no session."""

    number: int = 0
    session: int = 0


NO_VERSION = Version()


class Reader(NamedTuple):
    """A read: its next step, the version that it has registered, and the answer."""

    step: str = "register"
    version: Version = NO_VERSION
    answer: int = 0


NO_READER = Reader()


@dataclass(frozen=True, slots=True)
class State:
    """The server, the connection and the process.

    Attributes:
        entry: the value in the server; each write increments it.
        messages: the number of messages on their way to the listener.
        losses: the number of times that the connection was lost.
        version, is_valid: the present version, and whether no change of it is known.
        copy: the value of the copy and its version.
        written: the value that this process has written and that is not acknowledged yet.
        floor: the value of the last acknowledged write of this process.
    """

    entry: int = 0
    messages: int = 0
    is_connected: bool = True
    losses: int = 0
    session: int = 1
    version: Version = NO_VERSION
    is_valid: bool = False
    reader: Reader = NO_READER
    copy: tuple[int, Version] | None = None
    written: int | None = None
    floor: int = 0


class ClientTracking:
    """The protocol, or a wrong variant of it."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def make_initial_state(self) -> State:
        """See `Model`."""
        return State()

    def is_final(self, state: State) -> bool:
        """See `Model`."""
        return state.entry == WRITES

    def find_violation(self, state: State) -> str | None:
        """See `Model`."""
        if state.copy is None or not is_current(state, state.copy[1]):
            return None
        value = state.copy[0]
        if value < state.floor:
            return f"copy {value} is served after this process has written {state.floor}"
        if value != state.entry and state.is_connected and not state.messages:
            return f"copy {value} of entry {state.entry} is served, and no message is on its way"
        return None

    def iter_steps(self, state: State) -> Iterator[tuple[str, State]]:
        """See `Model`."""
        yield from self._read(state)
        yield from self._write(state)
        yield from self._listen(state)

    def _read(self, state: State) -> Iterator[tuple[str, State]]:
        step, version, answer = state.reader
        is_late = self.fault == LATE_VERSION
        if step == "register" and is_late:
            yield "the reader skips it", replace(state, reader=Reader("send"))
        elif step == "register" and state.session:
            registered = register(state)
            reader = Reader("send", registered.version)
            yield "the reader registers", replace(registered, reader=reader)
        elif step == "send":
            reader = Reader("keep", version, state.entry)
            yield f"the server answers {state.entry}", replace(state, reader=reader)
        elif step == "keep":
            if is_late:
                state = register(state)
                version = state.version
            copy = (answer, version) if is_current(state, version) else state.copy
            yield f"the copy is {copy}", replace(state, reader=NO_READER, copy=copy)

    def _write(self, state: State) -> Iterator[tuple[str, State]]:
        if state.written is not None:
            after = replace(state, is_valid=False, floor=state.written, written=None)
            if self.fault == KEPT_WRITE:
                after = register(after)
                after = replace(after, copy=(state.written, after.version))
            yield f"the process has written {state.written}", after
        if state.entry == WRITES:
            return
        changed = replace(
            state, entry=state.entry + 1, messages=state.messages + state.is_connected
        )
        yield f"another process writes {changed.entry}", changed
        if state.written is None:
            yield f"this process writes {changed.entry}", replace(changed, written=changed.entry)

    def _listen(self, state: State) -> Iterator[tuple[str, State]]:
        if state.messages:
            after = replace(state, messages=state.messages - 1, is_valid=False)
            yield "a message arrives", after
        if state.is_connected and state.losses < LOSSES:
            after = replace(state, is_connected=False, messages=0, losses=state.losses + 1)
            yield "the connection is lost", after
        if not state.is_connected:
            if state.session and self.fault != LASTING_SESSION:
                yield "the listener notices the loss", replace(state, session=0)
            else:
                session = state.session or state.losses + 1
                yield "the listener connects", replace(state, is_connected=True, session=session)


def register(state: State) -> State:
    """Return the state with a current version of the key."""
    if is_current(state, state.version):
        return state
    version = Version(state.version.number + 1, state.session)
    return replace(state, version=version, is_valid=True)


def is_current(state: State, version: Version) -> bool:
    """Return whether no change of a version is known, and its session lasts."""
    return version == state.version and state.is_valid and version.session == state.session != 0
