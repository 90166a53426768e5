"""The seams: what the parts ask of each other, and what a third party implements.

A store implements `Backend`, seven verbs over records, and nothing else. What it can
do besides it says by implementing a capability as well; the manager asks with
``isinstance`` and does without where a store cannot (`aiocache_pe.backends.capabilities`):

=============  ========================================  ==============================
capability     verb                                      without it
=============  ========================================  ==============================
`Coherent`     is my copy still current? (no waiting)    no memory tier over this store
`Peekable`     read at once, or say that it takes time   every read is awaited
`Sized`        how many entries, how many bytes          counted by a scan
`Usage`        who was read how often, and when          hit counts last for the process
`Evicting`     tell what had to go to make room         evictions are not counted
`Expiring`     tell what it removed as it was over       expirations are not counted
`Sweeper`      remove what dead writers left             nothing is left behind
`Maintainable`      go through the store, bit by bit          the store removes what is over
`Leasing`      one of all processes computes a value     once per process and loop
`Probed`       tell whether all of it is there          one read has to tell
`SecretKeeper` a secret of the store's own               pickle only with a given secret
`Examinable`   tell how fit it is                        ``doctor`` has nothing to say
`Located`      tell where an entry lies                  ``inspect`` does not say it
=============  ========================================  ==============================
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from aiocache_pe.exceptions import CacheError
from aiocache_pe.record import Head, Record
from aiocache_pe.sentinels import Pending

Change = Callable[[Record | None], Record | None]
"""Given the record in the store, or ``None``, returns what shall be there instead:
another record, ``None`` for nothing, or the very one it was given to change nothing.
It must not wait, and may be called more than once."""

Condition = Callable[[Head], bool]

ReadResult = Record | CacheError
"""A record, or in its place the error that says why it cannot be had: a
`CorruptRecordError` for one that is damaged, a `BackendError` for one out of reach."""


class Backend(Protocol):
    """A store of records under string keys, for any number of tasks and event loops.

    Keys are store keys, ``area:key`` (see `aiocache_pe.keys.store_keys`); a store may use the
    part before the first colon to group them and needs to know nothing else of it.
    Whether a record is expired, and what its payload means, is the manager's business;
    a store may drop what is past ``head.gone_at`` whenever it likes, but not before: what
    is expired may still be served stale.

    A verb that the store cannot carry out raises `BackendError` or `OSError`. Every
    method may be cancelled; a cancelled write is then done whole or not at all.
    """

    name: str
    """A short word for logs and ``repr``; it must hold no secret."""

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """The records of those keys that are there, in one round trip.

        A damaged one is set aside, and an error stands in its place in the answer.
        """
        ...

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """Store records under their ``head.key``, in one round trip, replacing older ones.

        Returns:
            The records as stored, in the same order, with the store's stamps.
        """
        ...

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """Remove keys in one round trip.

        Args:
            keys: which.
            only: if given, a record goes only if this says so of its head, and it must
                not be another record, written meanwhile, that goes instead.

        Returns:
            The heads of the records that were there and were removed.
        """
        ...

    async def update(self, key: str, change: Change) -> Record | None:
        """Read, change and write one key as a single step that no writer can split.

        Returns:
            What is stored now, with its stamp, or ``None``.
        """
        ...

    def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """The heads of all records whose key begins with ``prefix``, a batch at a time.

        Args:
            prefix: an area with its colon.
            pattern: a glob over the rest of the key, matching case (`fnmatch`).

        What is written or deleted meanwhile may or may not be seen; everything else is
        seen exactly once. It must never hold all keys in memory.
        """
        ...

    async def clear(self, prefix: str) -> int:
        """Remove every record whose key begins with ``prefix``; returns how many."""
        ...

    async def close(self) -> None:
        """Give back what is held; using the store again opens it again."""


@runtime_checkable
class Coherent(Protocol):
    """A store that can tell at once whether a copy in memory is still right."""

    def is_current(self, stamp: Any) -> bool:
        """Whether the record that carried this stamp is still the one in the store.

        Called in any thread, before every hit in memory: it must not wait, and when it
        cannot tell it says no. A record that the store gives no stamp is not kept; a
        store that is told of changes may give it to what is read only.
        """
        ...


@runtime_checkable
class Peekable(Protocol):
    """A store that can often answer a read without waiting."""

    def peek(self, key: str) -> Record | None | Pending:
        """The record, ``None`` when surely absent, `PENDING` when only ``read`` can tell."""
        ...


@runtime_checkable
class Sized(Protocol):
    """A store that knows its size without reading every record."""

    async def totals(self, prefix: str) -> tuple[int, int]:
        """How many records begin with ``prefix``, and what they weigh in bytes."""
        ...


@runtime_checkable
class Usage(Protocol):
    """A store that keeps for each entry how often and when it was last read."""

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        """Add hits, and set the last access in seconds since the epoch, per key."""

    async def usage(self, key: str) -> tuple[int, float | None]:
        """The hits of a key, and its last access if it was ever read."""
        ...


@runtime_checkable
class Sweeper(Protocol):
    """A store in which dead processes leave things behind."""

    async def sweep(self, now: float) -> None:
        """Remove what nobody will ever use: half-written files, notes of what was to end.

        Args:
            now: seconds since the epoch.
        """


@runtime_checkable
class Maintainable(Protocol):
    """A store from which somebody has to remove what is over, when nobody asks for it."""

    async def maintain(self, now: float) -> Sequence[Head] | None:
        """Take one small step of a round through the store.

        Args:
            now: seconds since the epoch.

        Returns:
            The heads of what nobody could be served any more and was removed; ``None`` at
            the end of the round, or when it is not the time for one.
        """
        ...


@runtime_checkable
class Evicting(Protocol):
    """A store that removes entries by itself to stay within its bounds."""

    on_evict: Callable[[Head], object] | None
    """Called, in any thread, for every entry that had to go. A store that evicts in threads
    of its own calls it in the event loop, where it is handed over as an event."""


@runtime_checkable
class Expiring(Protocol):
    """A store that removes what is over not only when it is tended, but at other times too."""

    on_expire: Callable[[Head], object] | None
    """Called, in any thread, for each entry removed so; not for those `maintain` returns."""


class Lease(Protocol):
    """The right to compute what belongs under a key; at most one at a time is held."""

    @property
    def is_lost(self) -> bool:
        """Whether it is known that somebody else may hold the lease by now.

        Asked once the value is computed. It must not wait, so it may be behind the times.
        """
        ...

    async def release(self) -> None:
        """Give it back; doing so twice, or when it was lost, does nothing.

        It must not fail for that the store does, and must give the lease back, soon at
        least, also when the caller is cancelled meanwhile.
        """


@runtime_checkable
class Leasing(Protocol):
    """A store by which the processes, threads and event loops that use it take turns.

    A lease lives as long as its holder works, however long, and ends with it: when the
    process dies, another must get the lease within a second or so, without any clean-up.
    It is no lock of the entry, which may be read, written, deleted and cleared by anybody
    meanwhile; and none of these ends the lease.
    """

    async def try_lease(self, key: str) -> Lease | None:
        """The lease of a store key at once; ``None`` if anybody, even this caller, has it.

        Cancelling this leaves no lease behind.
        """
        ...


@runtime_checkable
class Probed(Protocol):
    """A store of which a part may be away."""

    async def probe(self) -> None:
        """Return if all of it can be used.

        Raises:
            StoreUnavailableError: a part of it, or all of it, is away.
        """


@runtime_checkable
class SecretKeeper(Protocol):
    """A store that is private enough to make and keep a secret of its own."""

    async def secret(self) -> bytes:
        """The store's secret, made on first use."""
        ...


class Check(NamedTuple):
    """Something that was looked at, for a person.

    Attributes:
        name: what.
        level: ``"ok"``; ``"warning"``, it works less well than it could; ``"failure"``.
        detail: what was found.
    """

    name: str
    level: Literal["ok", "warning", "failure"]
    detail: str


@runtime_checkable
class Examinable(Protocol):
    """A store that can tell how fit it is."""

    async def examine(self) -> Sequence[Check]:
        """Look at what the store needs; what is wrong is in the answer and not raised."""
        ...


@runtime_checkable
class Located(Protocol):
    """A store whose entries are somewhere that people can look at."""

    def location(self, key: str) -> str:
        """Where the entry of a store key lies, or would."""
        ...
