"""Model of the fallback: a journal of the changes that the first store misses.

A process reads and changes one key. Its first store is away at times, and its second store serves
then. The process is killed at any step and starts again.

1. A change calls the first store. If that is away, the change is recorded in the journal, which
   survives the process. Then it is made in the second store, and recorded once more in memory.
2. A process that starts and finds a journal begins with the second store.
3. When the first store answers again, new changes wait until those in flight have ended. The key
   is removed from both stores if the journal holds it. Then the journal is removed, and the first
   store serves.
4. A change that the first store has not answered may still be in its buffers. The first store
   carries it out before it answers again, so the repair follows it.

Promise: a read that begins after a change was acknowledged returns no older value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

LATE_RECORD = "record after the change"
HASTY_REPAIR = "repair beside changes in flight"
IGNORED_BUFFERS = "repair before the buffers"
IGNORED_JOURNALS = "start without a look at journals"
FAULTS = (LATE_RECORD, HASTY_REPAIR, IGNORED_BUFFERS, IGNORED_JOURNALS)
CHANGES = 3
OUTAGES = 2
KILLS = 1


@dataclass(frozen=True, slots=True)
class State:
    """The stores, the journal and the process; a value is the number of the change that wrote it.

    Attributes:
        first, second: the values in the stores.
        buffered: the value that the first store will write before it answers again.
        is_recorded: whether the file of the journal holds the key.
        is_pending: whether the journal in memory holds the key; the killed process forgets it.
        uses_first: whether the first store serves the process.
        change: the step of the change in flight.
        floor: the value of the last acknowledged change.
    """

    first: int | None = None
    second: int | None = None
    is_away: bool = False
    buffered: int | None = None
    is_recorded: bool = False
    is_pending: bool = False
    uses_first: bool = True
    change: Literal["none", "begun", "record", "make", "confirm"] = "none"
    is_repairing: bool = False
    changes: int = 0
    floor: int = 0
    outages: int = 0
    kills: int = 0


class FallbackJournal:
    """The protocol, or a wrong variant of it."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def make_initial_state(self) -> State:
        """See `Model`."""
        return State()

    def is_final(self, state: State) -> bool:
        """See `Model`."""
        return state.changes == CHANGES and state.uses_first

    def find_violation(self, state: State) -> str | None:
        """See `Model`."""
        value = state.first if state.uses_first else state.second
        if (state.uses_first and state.is_away) or value is None or value >= state.floor:
            return None
        return f"{value} is read after change {state.floor} was acknowledged"

    def iter_steps(self, state: State) -> Iterator[tuple[str, State]]:
        """See `Model`."""
        yield from self._change(state)
        yield from self._repair(state)
        yield from self._fail(state)

    def _change(self, state: State) -> Iterator[tuple[str, State]]:
        number, late = state.changes, self.fault == LATE_RECORD
        if state.change == "none" and number < CHANGES and not state.is_repairing:
            yield "a change begins", replace(state, change="begun", changes=number + 1)
        elif state.change == "begun" and state.uses_first:
            if not state.is_away:
                after = replace(state, first=number, change="none", floor=number)
                yield f"the first store has change {number}", after
            else:
                for buffered in (number, state.buffered):
                    yield (
                        f"the first store is away, its buffer holds {buffered}",
                        replace(state, uses_first=False, buffered=buffered),
                    )
        elif state.change == "begun":
            yield "the second store serves", replace(state, change="make" if late else "record")
        elif state.change == "record":
            after = replace(state, is_recorded=True, is_pending=True)
            yield "the change is recorded", replace(after, change="confirm" if late else "make")
        elif state.change == "make":
            after = replace(state, second=number, change="record" if late else "confirm")
            yield f"the second store has change {number}", after
        elif state.change == "confirm":
            after = replace(state, is_pending=True, change="none", floor=number)
            yield f"change {number} is acknowledged", after

    def _repair(self, state: State) -> Iterator[tuple[str, State]]:
        if state.uses_first or state.is_away:
            return
        if not state.is_repairing:
            # A process that was killed has left its journal; the repair reads it.
            after = replace(state, is_repairing=True, is_pending=state.is_recorded)
            yield "a repair begins, and changes wait", after
        elif state.change == "none" or self.fault == HASTY_REPAIR:
            if state.is_pending:
                after = replace(state, first=None, second=None, is_pending=False)
                yield "the key is removed from both stores", after
            else:
                after = replace(state, is_recorded=False, is_repairing=False, uses_first=True)
                yield "the first store serves", after

    def _fail(self, state: State) -> Iterator[tuple[str, State]]:
        if not state.is_away and state.outages < OUTAGES:
            yield "the first store fails", replace(state, is_away=True, outages=state.outages + 1)
        if state.is_away and state.uses_first:
            yield "a read fails, the second store serves", replace(state, uses_first=False)
        if state.is_away and (state.buffered is None or self.fault == IGNORED_BUFFERS):
            yield "the first store returns", replace(state, is_away=False)
        if state.buffered is not None:
            after = replace(state, first=state.buffered, buffered=None)
            yield f"the first store works off its buffer: {after.first}", after
        if state.kills < KILLS:
            finds_journal = state.is_recorded and self.fault != IGNORED_JOURNALS
            yield (
                "the process is killed and starts again",
                replace(
                    state,
                    kills=state.kills + 1,
                    uses_first=not finds_journal,
                    is_pending=False,
                    is_repairing=False,
                    change="none",
                ),
            )
