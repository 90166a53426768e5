"""Outcomes of loading, and copies of values for callers that share one computation."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final, Literal

from aiocache_pe.codecs.immutable import is_immutable
from aiocache_pe.engine.engine import Engine
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.runtime.interrupts import raise_interrupt
from aiocache_pe.sentinels import MISSING

Source = Literal["hit", "miss", "stale", "joined"]
"""The origin of a value: the cache, a computation, an expired entry, or another caller's
computation."""

_FLAT: Final = frozenset((str, int, float, bool, bytes, type(None)))


class Outcome:
    """A value that was loaded, and its origin.

    Args:
        value: the value; its caller may change it.
        source: the origin.
        is_stored: whether the store has the value.
        is_outdated: whether the value may be outdated for a caller that joined its computation.
        tokens: the tokens of its tags from before the computation.
        computation: the computation of the value; ``None`` if that does not matter.
        entry: the entry that holds the value; ``None`` if no entry answered.
        tier: ``"memory"``, or the name of the store that answered.
        reason: the reason for which the value is not stored; empty if it is, or may be.
    """

    __slots__ = (
        *("_copy", "_entry", "computation", "entry", "is_outdated", "is_stored", "reason"),
        *("source", "tier", "tokens", "value"),
    )

    def __init__(
        self,
        value: Any,
        source: Source,
        *,
        is_stored: bool = False,
        is_outdated: bool = False,
        tokens: Mapping[str, str] | None = None,
        computation: Any = None,
        entry: MemoryEntry | None = None,
        tier: str | None = None,
        reason: str = "",
    ) -> None:
        self.value = value
        self.source: Source = source
        self.is_stored = is_stored
        self.is_outdated = is_outdated
        self.tokens = tokens
        self.computation = computation
        self.entry = entry
        self.tier = tier
        self.reason = reason
        self._copy: Any = MISSING
        self._entry: MemoryEntry | None = None

    def prepare_copies(self, engine: Engine, key: str) -> None:
        """Keep the value for other callers, before its own caller can change it.

        The entry in memory is kept if it is current, because the store may lose it at once. Over
        Redis, a write leaves the replaced entry in memory, which is outdated.
        """
        self._entry = engine.get_current_entry(key) if self.is_stored else None
        if self._entry is None:
            self._copy = copy_or_share(self.value)

    def copy(self, engine: Engine) -> Any:
        """Return the value for another caller, or `MISSING` if it cannot be copied.

        Without `prepare_copies` this caller is the only one, and gets the value itself.
        """
        try:
            if self._entry is not None:
                return engine.decode(self._entry)
            return self.value if self._copy is MISSING else copy_value(self._copy)
        except Exception as error:  # noqa: BLE001 - a class may raise anything while it is copied
            raise_interrupt(error)
            return MISSING


def copy_value(value: Any) -> Any:
    """Return an equal value that can be changed without changing the original.

    An immutable value is returned as it is. A list of plain values, such as an embedding, is
    copied a hundred times faster than by `copy.deepcopy`.

    Raises:
        Exception: `copy.deepcopy` raised it, for a value that cannot be copied.

    Example:
        >>> vector = [0.5, 0.25]
        >>> copy_value(vector) == vector, copy_value(vector) is vector
        (True, False)
    """
    if type(value) is list and _FLAT.issuperset(map(type, value)):
        return value.copy()
    return value if is_immutable(value) else deepcopy(value)


def copy_or_share(value: Any) -> Any:
    """Return a copy, or the value itself if it cannot be copied, such as an open handle."""
    try:
        return copy_value(value)
    except Exception as error:  # noqa: BLE001 - a class may raise anything while it is copied
        raise_interrupt(error)
        return value
