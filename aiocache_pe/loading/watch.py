"""Watch of one call: its duration and its outcome, for the list of `aiocache_pe.observe`."""

from __future__ import annotations

from time import monotonic
from typing import Any, Self

from aiocache_pe.context import Control
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.observation import CallOutcome, ObservedCall
from aiocache_pe.sentinels import MISSING


class Watch:
    """Context manager around a call; at its end, the call is added to a list.

    A call that raises is a miss, unless its outcome is known already.

    Args:
        control: the controls of the call, with the list; nothing is observed without one.
        function: the name of the function.
    """

    __slots__ = ("_began", "_calls", "_function", "_observed", "control")

    def __init__(self, control: Control, function: str) -> None:
        self.control = control
        self._calls = control.calls
        self._function = function
        self._observed: dict[str, ObservedCall] = {}  # by store key
        self._began = 0.0

    def __enter__(self) -> Self:
        if self._calls is not None:
            self._began = monotonic()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._calls is None:
            return
        seconds = monotonic() - self._began
        for call in self._observed.values():
            call.seconds = seconds
            if error is not None and call.outcome == "miss":
                is_early = isinstance(error, GeneratorExit)
                call.reason = "closed early" if is_early else f"raised {type(error).__name__}"
        self._calls.extend(self._observed.values())

    def note(self, namespace: Namespace, key: str, outcome: Outcome | None = None) -> None:
        """Note the outcome of a store key; without one, the call is a miss so far."""
        if self._calls is not None:
            found = Outcome(None, "miss") if outcome is None else outcome
            self._observed[key] = describe_outcome(self._function, namespace, key, found)

    def note_call(self, call: ObservedCall) -> None:
        """Note a call that is described already, as the only one."""
        self._observed = {"": call}

    def note_bypass(self, reason: str) -> None:
        """Note that the call bypasses the cache."""
        if self._calls is not None:
            self.note_call(ObservedCall(function=self._function, outcome="bypassed", reason=reason))


def make_recorded(answer: Any) -> Outcome:
    """Return the outcome of a recorded answer; `MISSING` stands for a call to record."""
    if answer is MISSING:
        return Outcome(None, "miss")
    return Outcome(answer, "hit", tier="recording")


def describe_outcome(
    function: str, namespace: Namespace, key: str, outcome: Outcome
) -> ObservedCall:
    """Return the observed call for the outcome of a store key."""
    is_unstorable = outcome.source == "miss" and bool(outcome.reason)
    name: CallOutcome = "unstorable" if is_unstorable else outcome.source
    call = ObservedCall(function=function, outcome=name, namespace=namespace.name)
    call.key, call.reason = key[len(namespace.prefix) :], outcome.reason
    entry = outcome.entry
    if entry is not None:
        call.age, call.tier = max(0, int(namespace.time() - entry.created_at)), outcome.tier
    elif outcome.source == "joined":
        entry = namespace.engine.get_tier_entry(key)
    elif outcome.source == "hit":
        call.tier = outcome.tier
    if entry is not None and outcome.source != "miss":
        _add_savings(call, entry)
    return call


def _add_savings(call: ObservedCall, entry: MemoryEntry) -> None:
    call.seconds_saved = entry.cost
    saves = entry.saves
    if saves is not None:
        call.input_tokens_saved, call.output_tokens_saved = saves.input_tokens, saves.output_tokens
        call.money_saved = saves.money
