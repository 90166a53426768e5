"""Model of the fallback: a journal of the changes that the first store misses.

A process sets one key and clears all keys. Its first store is away at times, and its second store
serves then. Another process always reaches the first store, sets the key there and removes it. Our
process is killed at any step and starts again.

1. A change calls the first store. If that is away, the change is recorded in the journal, which
   survives the process: a set as its key, a clear as a clear with its time. Then it is made in the
   second store.
2. A process that starts and finds a journal begins with the second store.
3. When the first store answers again, new changes wait until those in flight have ended. A clear
   removes the values that are older than it from both stores, unless the key was set later. For a
   set, the value of the second store is stored in the first one if the key was not changed there
   since the outage began, as the age of its generation shows; otherwise the entry is removed. Then
   the journal is removed, and the first store serves.
4. The first store may still have a change in its buffers that it has not answered. It carries that
   out before it answers again, so the repair follows.

Promises: a read from the first store returns nothing older than the last acknowledged change of
any process. A read from the second store returns nothing older than the last one of this process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

LATE_RECORD = "record after the change"
HASTY_REPAIR = "repair beside changes in flight"
IGNORED_BUFFERS = "repair before the buffers"
IGNORED_JOURNALS = "start without a look at journals"
KEYS_ONLY = "clear recorded as the keys of the second store"
UNDATED_MOVE = "value moved without a look at the generation"
ABSENT_MOVE = "value moved because the key is absent"
FAULTS = (
    LATE_RECORD,
    HASTY_REPAIR,
    IGNORED_BUFFERS,
    IGNORED_JOURNALS,
    KEYS_ONLY,
    UNDATED_MOVE,
    ABSENT_MOVE,
)
CHANGES = 3  # of both processes together
OUTAGES = 2
KILLS = 1


@dataclass(frozen=True, slots=True)
class Journal:
    """The changes to settle; their times are numbers of changes, and 0 is none.

    Attributes:
        key: the time of the last set.
        clear: the time of the last clear.
        since: the time at which the outage of the last set began.
    """

    key: int = 0
    clear: int = 0
    since: int = 0


NO_JOURNAL = Journal()


@dataclass(frozen=True, slots=True)
class State:
    """The stores, the journal and the process; a value is the number of its change.

    Attributes:
        first, second: the values in the stores.
        generation: the last change of the key in the first store.
        buffered: the value that the first store will write before it answers again.
        journal: the journal in its file.
        pending: the journal in memory, which the killed process forgets.
        uses_first: whether the first store serves the process.
        away_since: the time at which the outage began for the process.
        step, change, is_clear: the next step of the change in flight, its number and its kind.
        is_repairing: whether a repair is in progress, so that new changes wait.
        time: the number of the last change.
        floor, own_floor: the last acknowledged change of all processes, and of this one.
    """

    first: int | None = None
    second: int | None = None
    generation: int = 0
    is_away: bool = False
    buffered: int | None = None
    journal: Journal = NO_JOURNAL
    pending: Journal = NO_JOURNAL
    uses_first: bool = True
    away_since: int = 0
    step: str = "none"
    change: int = 0
    is_clear: bool = False
    is_repairing: bool = False
    time: int = 0
    floor: int = 0
    own_floor: int = 0
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
        return state.time >= CHANGES and state.uses_first

    def find_violation(self, state: State) -> str | None:
        """See `Model`."""
        value, floor = state.second, state.own_floor
        if state.uses_first:
            value, floor = (None if state.is_away else state.first), state.floor
        if value is None or value >= floor:
            return None
        return f"{value} is read after change {floor} was acknowledged"

    def iter_steps(self, state: State) -> Iterator[tuple[str, State]]:
        """See `Model`."""
        yield from self._change(state)
        yield from self._repair(state)
        yield from self._fail(state)
        if state.time < CHANGES and not state.is_away:
            time = state.time + 1
            after = replace(state, time=time, first=time, floor=time, generation=time)
            yield f"another process makes change {time} in the first store", after
            after = replace(after, first=None)
            yield f"another process removes the key by change {time}", after

    def _change(self, state: State) -> Iterator[tuple[str, State]]:
        step, number, is_late = state.step, state.change, self.fault == LATE_RECORD
        if step == "none" and state.time < CHANGES and not state.is_repairing:
            for kind in ("set", "clear"):
                after = replace(state, step="begun", is_clear=kind == "clear")
                yield f"a {kind} begins", after
        elif step == "begun" and not state.is_repairing:
            yield from self._call_first(state)
        elif step == "record":
            after = self._record(state)
            yield "the change is recorded", replace(after, step="confirm" if is_late else "make")
        elif step == "make":
            after = replace(state, second=None if state.is_clear else number)
            after = replace(after, step="record" if is_late else "confirm")
            yield f"the second store has change {number}", after
        elif step == "confirm":
            yield f"change {number} is acknowledged", acknowledge(state)

    def _call_first(self, state: State) -> Iterator[tuple[str, State]]:
        number = state.time + 1
        if state.uses_first and not state.is_away:
            after = replace(state, time=number, change=number)
            after = replace(after, first=None if state.is_clear else number, generation=number)
            yield f"the first store has change {number}", acknowledge(after)
            return
        after = replace(state, time=number, change=number, uses_first=False)
        after = replace(after, step="make" if self.fault == LATE_RECORD else "record")
        if state.uses_first:
            after = replace(after, away_since=state.time)
            if not state.is_clear:
                yield f"the first store buffers change {number}", replace(after, buffered=number)
        yield f"the second store serves change {number}", after

    def _record(self, state: State) -> State:
        journal, number = state.pending, state.change
        if not state.is_clear or (self.fault == KEYS_ONLY and state.second is not None):
            journal = replace(journal, key=number, since=state.away_since)
        elif self.fault != KEYS_ONLY:
            journal = replace(journal, clear=number)
        return replace(state, journal=journal, pending=journal)

    def _repair(self, state: State) -> Iterator[tuple[str, State]]:
        if state.uses_first or state.is_away:
            return
        pending = state.pending
        if not state.is_repairing:
            # A process that was killed has left its journal; the repair reads it.
            yield "a repair begins", replace(state, is_repairing=True, pending=state.journal)
        elif state.step not in {"none", "begun"} and self.fault != HASTY_REPAIR:
            return  # the repair waits for the change in flight
        elif pending.clear:
            first, second = (
                value if value is None or value > pending.clear else None
                for value in (state.first, state.second)
            )
            if pending.key > pending.clear:
                first, second = state.first, state.second  # the set settles the key
            after = replace(state, first=first, second=second, pending=replace(pending, clear=0))
            yield "the clear is settled", after
        elif pending.key:
            is_moved = state.generation <= pending.since or self.fault == UNDATED_MOVE
            if self.fault == ABSENT_MOVE:
                is_moved |= state.first is None
            first = state.second if is_moved else None
            after = replace(state, first=first, second=None, pending=replace(pending, key=0))
            after = replace(after, generation=state.time)
            yield f"the key is settled, the first store has {first}", after
        else:
            after = replace(state, journal=NO_JOURNAL, is_repairing=False, uses_first=True)
            yield "the first store serves", after

    def _fail(self, state: State) -> Iterator[tuple[str, State]]:
        if not state.is_away and state.outages < OUTAGES:
            yield "the first store fails", replace(state, is_away=True, outages=state.outages + 1)
        if state.is_away and state.uses_first:
            after = replace(state, uses_first=False, away_since=state.time)
            yield "a read fails, and the second store serves", after
        if state.is_away and (state.buffered is None or self.fault == IGNORED_BUFFERS):
            yield "the first store returns", replace(state, is_away=False)
        if state.buffered is not None:
            after = replace(state, first=state.buffered, generation=state.buffered, buffered=None)
            yield f"the first store works off its buffer: {after.first}", after
        if state.kills < KILLS:
            finds_journal = state.journal != NO_JOURNAL and self.fault != IGNORED_JOURNALS
            after = replace(state, kills=state.kills + 1, uses_first=not finds_journal)
            after = replace(after, pending=NO_JOURNAL, is_repairing=False, step="none")
            yield "the process is killed and starts again", replace(after, away_since=state.time)


def acknowledge(state: State) -> State:
    """Return the state after the change in flight has returned."""
    floor = max(state.floor, state.change)
    own_floor = max(state.own_floor, state.change)
    return replace(state, step="none", floor=floor, own_floor=own_floor)
