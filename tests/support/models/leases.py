"""Model of leases with generations: a change wins over a computation that began before it.

The store holds one entry, its generation and its lease. Two processes compute the entry from a
source that an actor changes. Leases vanish, by eviction or expiry, and a process is killed.

1. A process acquires the lease and reads the generation in one step. Then it reads the source.
2. A change follows the change of the source. In one step it removes the entry and the lease and
   raises the generation.
3. A process stores its result in one step, unless the generation was raised or another process has
   the lease. A lease that has vanished prevents nothing. The step releases the lease.

Promises: no value is stored that is older than the last acknowledged change. A result is lost only
to a change, or to another process that computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

LATE_GENERATION = "generation after the source"
NO_GENERATION = "generation is not compared"
EARLY_COMPARISON = "comparison before the step that stores"
LEASE_ONLY = "only the lease is compared"
FAULTS = (LATE_GENERATION, NO_GENERATION, EARLY_COMPARISON, LEASE_ONLY)
CHANGES = 2
LOSSES = 1  # of leases
KILLS = 1


@dataclass(frozen=True, slots=True)
class Process:
    """A computation: its next step, and the generation and the version that it has read.

    Attributes:
        floor: the last acknowledged change at its begin.
        may_store: the result of a comparison that a fault makes too early.
    """

    step: str = "begin"
    generation: int = 0
    version: int = 0
    floor: int = 0
    may_store: bool = True


@dataclass(frozen=True, slots=True)
class State:
    """The source, the store and the processes.

    Attributes:
        lease: the number of the process that has the lease, from 1; 0 for none.
        is_changed: whether the source has changed, and the entry is still to be removed.
        floor: the version of the last acknowledged change.
        is_lost: whether a result was lost without a reason.
    """

    source: int = 0
    entry: int | None = None
    generation: int = 0
    lease: int = 0
    processes: tuple[Process, ...] = (Process(), Process())
    is_changed: bool = False
    floor: int = 0
    losses: int = 0
    kills: int = 0
    is_lost: bool = False

    def set_process(self, number: int, process: Process) -> State:
        """Return the state with another process of a number."""
        processes = list(self.processes)
        processes[number - 1] = process
        return replace(self, processes=tuple(processes))

    def release(self, number: int) -> State:
        """Return the state without the lease, if a process has it."""
        return replace(self, lease=0) if self.lease == number else self


class Leases:
    """The protocol, or a wrong variant of it."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def make_initial_state(self) -> State:
        """See `Model`."""
        return State()

    def is_final(self, state: State) -> bool:
        """See `Model`."""
        return all(process.step == "done" for process in state.processes)

    def find_violation(self, state: State) -> str | None:
        """See `Model`."""
        if state.is_lost:
            return "a result is lost, and neither a change nor another process is the reason"
        if state.entry is not None and state.entry < state.floor:
            return f"version {state.entry} is stored after a change to {state.floor}"
        return None

    def iter_steps(self, state: State) -> Iterator[tuple[str, State]]:
        """See `Model`."""
        for number, process in enumerate(state.processes, 1):
            for step, after in self._compute(state, number, process):
                yield f"process {number} {step}", after
        if state.is_changed:
            after = replace(state, entry=None, lease=0, generation=state.generation + 1)
            yield "the entry is removed", replace(after, is_changed=False, floor=state.source)
        elif state.source < CHANGES:
            yield "the source changes", replace(state, source=state.source + 1, is_changed=True)
        if state.lease and state.losses < LOSSES:
            yield "the lease vanishes", replace(state, lease=0, losses=state.losses + 1)

    def _compute(self, state: State, number: int, process: Process) -> Iterator[tuple[str, State]]:
        step, is_late = process.step, self.fault == LATE_GENERATION
        if step == "begin":
            yield from self._begin(state, number)
        elif step == "read":
            after = replace(process, step="look" if is_late else "store", version=state.source)
            yield f"reads version {state.source}", state.set_process(number, after)
        elif step == "look":
            after = replace(process, step="store", generation=state.generation)
            yield "reads the generation", state.set_process(number, after)
        elif step == "store" and self.fault == EARLY_COMPARISON:
            may_store = self._may_store(state, number, process)
            after = replace(process, step="put", may_store=may_store)
            yield "compares", state.set_process(number, after)
        elif step in {"store", "put"}:
            yield self._store(state, number, process)
        if step not in {"begin", "done"} and state.kills < KILLS:
            killed = replace(state.release(number), kills=state.kills + 1)
            yield "is killed, its lease expires", killed.set_process(number, Process("done"))

    def _begin(self, state: State, number: int) -> Iterator[tuple[str, State]]:
        if state.entry is not None:
            yield "finds the entry", state.set_process(number, Process("done"))
            return
        begun = Process("read", state.generation, floor=state.floor)
        if not state.lease:
            after = replace(state, lease=number)
            yield "acquires the lease", after.set_process(number, begun)
        yield "computes without a lease", state.set_process(number, begun)

    def _may_store(self, state: State, number: int, process: Process) -> bool:
        if self.fault == LEASE_ONLY:
            return state.lease == number
        is_raised = state.generation != process.generation and self.fault != NO_GENERATION
        return state.lease in {0, number} and not is_raised

    def _store(self, state: State, number: int, process: Process) -> tuple[str, State]:
        may_store = process.may_store
        if process.step == "store":
            may_store = self._may_store(state, number, process)
        released = state.release(number).set_process(number, Process("done"))
        if may_store:
            return f"stores version {process.version}", replace(released, entry=process.version)
        has_reason = state.floor > process.floor or state.lease not in {0, number}
        return "stores nothing", replace(released, is_lost=not has_reason)
