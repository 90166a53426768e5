"""Model of tags: an entry carries the tokens of its tags, and a new token invalidates it.

The store holds one entry and the token of its one tag. Two writers compute the entry from a source,
an actor changes the source twice and deletes the tag each time, and readers read.

1. A writer reads the token of the tag; the first one creates it. Only then does it read the source.
   It writes the value together with the token.
2. `delete_by_tag` replaces the token by one that was never used before.
3. A reader reads the entry, then the token. It serves the entry if the tokens are equal.

Promise: a read that begins after `delete_by_tag` has returned serves no older value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

LATE_TOKEN = "token after the value"
REUSED_TOKENS = "tokens are used again"
FAULTS = (LATE_TOKEN, REUSED_TOKENS)
CHANGES = 2


class Writer(NamedTuple):
    """A computation; its next step, and the token and the version of the source it has read."""

    step: str = "token"
    token: int = 0
    version: int = 0


class Reader(NamedTuple):
    """A read: the version acknowledged at its begin, and the version that it has read."""

    step: str = "begin"
    floor: int = 0
    token: int = 0
    version: int = 0
    served: int | None = None


NO_READER = Reader()


@dataclass(frozen=True, slots=True)
class State:
    """The source, the store and the actors; token 0 is no token.

    Attributes:
        is_changed: whether the source has changed and the tag is still to be deleted.
        floor: the version of the last acknowledged change.
    """

    source: int = 0
    token: int = 0
    entry: tuple[int, int] | None = None
    is_changed: bool = False
    floor: int = 0
    writers: tuple[Writer, ...] = (Writer(), Writer())
    reader: Reader = NO_READER


class TagTokens:
    """The protocol, or a wrong variant of it."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def make_initial_state(self) -> State:
        """See `Model`."""
        return State()

    def is_final(self, state: State) -> bool:
        """See `Model`."""
        return state.floor == CHANGES

    def find_violation(self, state: State) -> str | None:
        """See `Model`."""
        served = state.reader.served
        if served is not None and served < state.reader.floor:
            return f"version {served} is served after a change to {state.reader.floor}"
        return None

    def iter_steps(self, state: State) -> Iterator[tuple[str, State]]:
        """See `Model`."""
        for number, writer in enumerate(state.writers):
            for step, after, changed in self._write(state, writer):
                writers = list(state.writers)
                writers[number] = after
                yield f"writer {number} {step}", replace(changed, writers=tuple(writers))
        yield from self._change(state)
        yield from self._read(state)

    def _write(self, state: State, writer: Writer) -> Iterator[tuple[str, Writer, State]]:
        first, second = ("source", "token") if self.fault == LATE_TOKEN else ("token", "source")
        following = {first: second, second: "write"}
        step = first if writer == Writer() else writer.step
        if step == "token":
            token = state.token or 1  # the first writer creates it, in one atomic step
            changed = replace(state, token=token)
            after = Writer(following[step], token, writer.version)
            yield f"reads token {token}", after, changed
        elif step == "source":
            after = Writer(following[step], writer.token, state.source)
            yield f"reads version {state.source}", after, state
        elif step == "write":
            entry = (writer.version, writer.token)
            yield f"writes {entry}", Writer("done"), replace(state, entry=entry)

    def _change(self, state: State) -> Iterator[tuple[str, State]]:
        if state.is_changed:
            token = state.token + 1 if self.fault != REUSED_TOKENS else 3 - (state.token or 1)
            yield (
                f"the tag is deleted: token {token}",
                replace(state, token=token, is_changed=False, floor=state.source),
            )
        elif state.source < CHANGES:
            yield "the source changes", replace(state, source=state.source + 1, is_changed=True)

    def _read(self, state: State) -> Iterator[tuple[str, State]]:
        reader = state.reader
        if reader.step == "begin":
            yield "a read begins", replace(state, reader=Reader("entry", state.floor))
        elif reader.step == "entry":
            if state.entry is None:
                yield "the read finds nothing", replace(state, reader=NO_READER)
            else:
                version, token = state.entry
                after = Reader("compare", reader.floor, token, version)
                yield f"the read finds {state.entry}", replace(state, reader=after)
        elif reader.step == "compare":
            is_live = reader.token == state.token
            after = Reader("served", reader.floor, served=reader.version) if is_live else NO_READER
            yield f"the read {'serves' if is_live else 'refuses'} it", replace(state, reader=after)
        else:
            yield "the read ends", replace(state, reader=NO_READER)
