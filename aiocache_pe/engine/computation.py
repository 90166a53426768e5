"""Computation of one value, as the engine sees it: what it may store, and for whom.

A computation takes generations and the tokens of its tags before it reads its source. A change of
the key raises the generations, and a deletion of a tag renews its token. So the result of an
earlier computation is not stored, and later callers do not join it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

from aiocache_pe.runtime.generations import Generations
from aiocache_pe.sentinels import MISSING, PENDING, Missing, Pending


class Changes(Protocol):
    """The part of an engine that knows the changes of keys and tags."""

    generations: Generations
    begin_in_store: Callable[[str], object | Pending]
    is_raised_in_store: Callable[[str, Any], bool]

    def check_tags(self, key: str, tags: Mapping[str, str]) -> Missing | Pending | None:
        """Return the reason why an entry cannot be served because of its tags, if there is one."""

    def has_changed_tag(self, key: str, tags: Iterable[str]) -> bool:
        """Return whether the memory tier has the token of a tag, which may be outdated."""


class Computation:
    """A computation of one value: its generations, which a change of the key raises.

    Attributes:
        key: the store key.
        tags: the tags of the entry.
        stored_generation: the store's generation; `PENDING` until it is taken.
        is_ending: whether the value is being stored, so that the answer shows no later change.
        is_refused: whether the store did not store the value, because the key has changed.
        tokens: the tokens of its tags from before the source was read; ``None`` without tags.
        reason: the reason for which the value is not stored, if there is one in the value.
    """

    __slots__ = (
        *("_changes", "_generation", "is_ending", "is_refused", "key", "reason"),
        *("stored_generation", "tags", "tokens"),
    )

    def __init__(self, changes: Changes, key: str, tags: Sequence[str]) -> None:
        self._changes = changes
        self.tags = tags
        self.key = key
        self.tokens: Mapping[str, str] | None = None
        self.begin()

    def begin(self) -> None:
        """Take the present generations, before the entry and then the source are read."""
        self._generation = self._changes.generations.begin(self.key, self.tags)
        self.stored_generation = self._changes.begin_in_store(self.key)
        self.is_ending, self.is_refused, self.reason = False, False, ""

    @property
    def is_pending(self) -> bool:
        """Return whether the computation must still take the store's generation."""
        return self.stored_generation is PENDING

    @property
    def is_raised_here(self) -> bool:
        """Return whether this process has changed the key since the computation began."""
        return self._generation.is_raised

    @property
    def version(self) -> str:
        """Return a digest of the tokens of the tags, for a lease; empty without tokens."""
        if not self.tokens:
            return ""
        text = json.dumps(sorted(self.tokens.items())).encode("ascii")
        return blake2b(text, digest_size=8).hexdigest()

    def is_outdated(self) -> bool:
        """Return whether the key or a tag is known to have changed; then no caller may join."""
        is_ending = self.is_ending and not self.is_watchable
        return self._is_raised() or is_ending or self.has_renewed_tags(may_have=True)

    def has_renewed_tags(self, *, may_have: bool = False) -> bool:
        """Return whether a tag is known to be deleted since the computation took its token.

        With ``may_have``, a tag counts if it was changed in any way.
        """
        changes, key, tokens = self._changes, self.key, self.tokens or {}
        try:
            obstacle = changes.check_tags(key, tokens)
            may_have = may_have and obstacle is PENDING and changes.has_changed_tag(key, tokens)
        except Exception:  # noqa: BLE001 - the store's own `peek`
            return False
        return obstacle is MISSING or may_have

    def can_serve(self, caller: Computation) -> bool:
        """Return whether a caller may have the value, as far as its key is concerned.

        Args:
            caller: a computation that began with the caller, and has read the store.
        """
        if self.is_pending or self.is_watchable:
            return not self._is_raised()
        return not self._generation.is_raised and (
            self.stored_generation == caller.stored_generation
        )

    def _is_raised(self) -> bool:
        stored = self.stored_generation
        return self._generation.is_raised or (
            stored is not PENDING and self._changes.is_raised_in_store(self.key, stored)
        )

    @property
    def is_watchable(self) -> bool:
        """Return whether the store can decide without waiting whether the key has changed."""
        return self._changes.begin_in_store(self.key) is not PENDING

    @property
    def may_have_outdated_callers(self) -> bool:
        """Return whether a caller may have joined after a change in another process."""
        return (self.is_refused or self._generation.is_raised) and not self.is_watchable
