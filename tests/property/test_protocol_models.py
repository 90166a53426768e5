"""Models of the protocols keep their promises in every order of steps; wrong variants do not."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.models import client_tracking, fallback_journal, leases, tag_tokens
from tests.support.models.client_tracking import ClientTracking
from tests.support.models.exploration import explore
from tests.support.models.fallback_journal import FallbackJournal
from tests.support.models.leases import Leases
from tests.support.models.tag_tokens import TagTokens
from tests.support.scale import report

MODELS: dict[Any, tuple[str, ...]] = {
    TagTokens: tag_tokens.FAULTS,
    Leases: leases.FAULTS,
    FallbackJournal: fallback_journal.FAULTS,
    ClientTracking: client_tracking.FAULTS,
}


@pytest.mark.parametrize("model", MODELS)
def test_the_protocol_keeps_its_promises_in_every_order_of_steps(model: Any) -> None:
    began = time.perf_counter()
    states, violation, trace = explore(model())
    assert violation is None, "\n".join([str(violation), *trace])
    assert states > 1000
    report(f"{model.__name__}: {states:,} states in {time.perf_counter() - began:.2f} s")


@pytest.mark.parametrize(
    ("model", "fault"), [(model, fault) for model, faults in MODELS.items() for fault in faults]
)
def test_the_exploration_finds_each_fault(model: Any, fault: str) -> None:
    states, violation, trace = explore(model(fault))
    assert violation is not None
    report(f"{model.__name__} with {fault!r}: {violation}, {len(trace)} steps, {states:,} states")
