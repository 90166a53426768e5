"""Model of generations and leases: a change wins over a computation that began before it.

The store holds one entry, its token and a list of invalidations. Two processes compute the entry
from a source that an actor changes. Leases and the token vanish, and a process is killed.

1. A process acquires the lease and takes the generation: the token, and the length of the list.
   Then it reads the source. Without the lease it may compute as well, after its time to wait.
2. A change follows the change of the source. A *deletion* removes the entry and sets another token
   in one step. An *invalidation* first adds a line to the list. Then it removes the drafts of
   writers, and at last the entry.
3. A process stores its result in two steps, which exclude a deletion. It compares its generation,
   and then it publishes its draft. Without its draft, it compares again. A token that has vanished
   counts as unchanged.
4. The name of the lease contains the present token and the position of the last line. So a change
   frees it.

Promises: no value is stored that is older than the last acknowledged change, unless the token has
vanished since its computation began. A result is lost only to a change. After a change, no caller
waits for a computation that began before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

LATE_GENERATION = "generation after the source"
NO_GENERATION = "generation is not compared"
NO_EXCLUSION = "a deletion between the comparison and the publication"
KEPT_DRAFTS = "an invalidation keeps the drafts"
LEASE_DECIDES = "a result without the lease is not stored"
LOST_TOKEN = "a token that has vanished counts as changed"
LASTING_LEASE = "an invalidation frees no lease"
FAULTS = (
    *(LATE_GENERATION, NO_GENERATION, NO_EXCLUSION, KEPT_DRAFTS),
    *(LEASE_DECIDES, LOST_TOKEN, LASTING_LEASE),
)
CHANGES = 2
LOSSES = 1  # of a lease, of the token, or of a process

Generation = tuple[int, int]
"""A token, and the length of the list; a token of 0 has vanished."""


@dataclass(frozen=True, slots=True)
class Process:
    """A computation.

    Attributes:
        step: its next step.
        generation: the generation that it has taken.
        lease: the name of the lease that it holds; ``None`` without one.
        version: the version of the source that it has read.
        begun: the number of the changes before its begin.
        has_draft: whether its draft exists.
        is_excused: whether the token has vanished since its begin.
    """

    step: str = "begin"
    generation: Generation = (0, 0)
    lease: Generation | None = None
    version: int = 0
    begun: int = 0
    has_draft: bool = False
    is_excused: bool = False


DONE = Process("done")


@dataclass(frozen=True, slots=True)
class State:
    """The source, the store and the processes.

    Attributes:
        entry: the stored version; ``None`` for none.
        is_excused: whether the entry is from a computation that is excused.
        phase: the progress of a change: ``changed``, ``listed``, ``stopped``, or empty.
        floor: the version of the last acknowledged change.
        changes: the number of changes that have raised generations.
        acknowledged: the number of these that are acknowledged.
        is_lost: whether a result was lost without a reason.
    """

    source: int = 0
    entry: int | None = None
    is_excused: bool = False
    token: int = 1
    lines: int = 0
    processes: tuple[Process, ...] = (Process(), Process())
    phase: str = ""
    floor: int = 0
    changes: int = 0
    acknowledged: int = 0
    losses: int = 0
    is_lost: bool = False

    def set_process(self, number: int, process: Process) -> State:
        """Return the state with another process of a number."""
        processes = list(self.processes)
        processes[number] = process
        return replace(self, processes=tuple(processes))

    def acknowledge(self) -> State:
        """Return the state after a change, without the entry."""
        after = replace(self, entry=None, is_excused=False, phase="")
        return replace(after, floor=self.source, acknowledged=self.changes)


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
            return "a result is lost, and no change is the reason"
        if state.entry is not None and state.entry < state.floor and not state.is_excused:
            return f"version {state.entry} is stored after a change to {state.floor}"
        for process in state.processes:
            is_outdated = process.begun < state.acknowledged and not process.is_excused
            if is_outdated and process.lease == self._name_lease(state):
                return "callers wait for a computation that began before a change"
        return None

    def iter_steps(self, state: State) -> Iterator[tuple[str, State]]:
        """See `Model`."""
        for number, process in enumerate(state.processes):
            for step, after in self._compute(state, number, process):
                yield f"process {number} {step}", after
        yield from self._change(state)
        if state.losses < LOSSES:
            yield from self._lose(replace(state, losses=state.losses + 1))

    def _change(self, state: State) -> Iterator[tuple[str, State]]:
        raised = replace(state, changes=state.changes + 1)
        drafts = any(process.step == "publish" for process in state.processes)
        if not state.phase and state.source < CHANGES:
            yield "the source changes", replace(state, source=state.source + 1, phase="changed")
        elif state.phase == "changed":
            if not drafts or self.fault == NO_EXCLUSION:
                yield (
                    "the entry is deleted",
                    replace(raised, token=raised.changes + 1).acknowledge(),
                )
            yield "a line is added", replace(raised, lines=state.lines + 1, phase="listed")
        elif state.phase == "listed":
            processes = state.processes
            if self.fault != KEPT_DRAFTS:
                processes = tuple(replace(process, has_draft=False) for process in processes)
            yield "drafts are removed", replace(state, processes=processes, phase="stopped")
        elif state.phase == "stopped":
            yield "the entry is removed", state.acknowledge()

    def _lose(self, state: State) -> Iterator[tuple[str, State]]:
        for number, process in enumerate(state.processes):
            if process.lease is not None:
                yield "a lease vanishes", state.set_process(number, replace(process, lease=None))
        excused = tuple(replace(process, is_excused=True) for process in state.processes)
        yield "the token vanishes", replace(state, token=0, processes=excused)

    def _compute(self, state: State, number: int, process: Process) -> Iterator[tuple[str, State]]:
        step, is_late = process.step, self.fault == LATE_GENERATION
        if step == "begin":
            yield from self._begin(state, number)
        elif step == "read":
            after = replace(process, step="look" if is_late else "compare", version=state.source)
            yield f"reads version {state.source}", state.set_process(number, after)
        elif step == "look":
            after = replace(process, step="compare", generation=(state.token, state.lines))
            yield "takes the generation", state.set_process(number, after)
        elif step == "compare":
            yield self._compare(state, number, process)
        elif step == "publish" and process.has_draft:
            stored = replace(state, entry=process.version, is_excused=process.is_excused)
            yield f"stores version {process.version}", stored.set_process(number, DONE)
        elif step == "publish":
            after = replace(process, step="compare")
            yield "finds no draft", state.set_process(number, after)
        if step not in {"begin", "done"} and state.losses < LOSSES:
            killed = replace(state, losses=state.losses + 1)
            yield "is killed, which frees its lease", killed.set_process(number, DONE)

    def _begin(self, state: State, number: int) -> Iterator[tuple[str, State]]:
        if state.entry is not None:
            yield "finds the entry", state.set_process(number, DONE)
            return
        lease = self._name_lease(state)
        begun = Process("read", (state.token, state.lines), begun=state.changes)
        if all(process.lease != lease for process in state.processes):
            after = state.set_process(number, replace(begun, lease=lease))
            yield "acquires the lease", after
        else:
            yield "computes without a lease", state.set_process(number, begun)

    def _name_lease(self, state: State) -> Generation:
        return state.token, 0 if self.fault == LASTING_LEASE else state.lines

    def _compare(self, state: State, number: int, process: Process) -> tuple[str, State]:
        token, lines = process.generation
        is_raised = lines != state.lines or token != state.token
        if not state.token and self.fault != LOST_TOKEN:
            is_raised = lines != state.lines
        if self.fault == NO_GENERATION:
            is_raised = False
        if self.fault == LEASE_DECIDES:
            is_raised = is_raised or process.lease is None
        if not is_raised:
            after = replace(process, step="publish", has_draft=True)
            return "compares the generation", state.set_process(number, after)
        is_lost = process.begun == state.changes
        return "stores nothing", replace(state.set_process(number, DONE), is_lost=is_lost)
