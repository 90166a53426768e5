"""Protocols that a store implements: `Backend`, and optional capabilities.

Every store implements `Backend`, seven methods over records. A store offers a capability by having
its method. The manager tests for it with ``isinstance`` and does without it otherwise
(`aiocache_pe.backends.capabilities`):

==============  =========================================  ===============================
capability      method                                     without it
==============  =========================================  ===============================
`Coherent`      check a copy in memory, without waiting    no memory tier over this store
`Peekable`      read without waiting, or answer `PENDING`  every read is awaited
`Sized`         return number and size of the entries      counted by a scan
`Partitioned`   list the areas with entries                found by a scan
`Usage`         keep the hits and last access of entries   hit counts last for the process
`Evicting`      report entries removed to make room        evictions are not counted
`Expiring`      report expired entries removed by writes   expirations are not counted
`Sweeper`       remove the remains of crashed processes    no remains are removed
`Maintainable`  remove expired entries in small steps      the store removes them itself
`Leasing`       let one process compute a value            once per process and event loop
`Generational`  keep earlier computations from storing     in this process only
`Settleable`    store a value unless its key was changed   values of an outage are misses
`Probed`        check that the whole store is available    one read decides
`SecretKeeper`  keep a secret of the store's own           pickle needs a configured secret
`Examinable`    check the store's health                   ``doctor`` reports nothing
`Located`       return the location of an entry            ``inspect`` does not show it
==============  =========================================  ===============================

Rules for all methods:

- Keys are store keys, ``area:key`` (see `aiocache_pe.keys.store_keys`). A store may group entries
  by the part before the first colon. It needs no other knowledge of keys.
- Times are seconds since the epoch, sizes are bytes.
- A method that the store cannot carry out raises `BackendError` or `OSError`, and
  `StoreUnavailableError` if the store cannot be reached.
- Async methods may be called from any number of tasks and event loops, and may be cancelled. A
  cancelled change takes effect completely or not at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from aiocache_pe.exceptions import CacheError
from aiocache_pe.record import Head, Record
from aiocache_pe.sentinels import Pending

DEFAULT_MAX_BYTES = 5 * 1024**3
"""Bound in bytes of a store of files whose user has set none."""

Change = Callable[[Record | None], Record | None]
"""Function from the stored record, or ``None`` if there is none, to the record to store.

It returns a new record to store, ``None`` to remove the entry, or its argument to change nothing.
It must not wait, and a store may call it more than once.
"""

Condition = Callable[[Head], bool]
"""Function that decides by the head of a record, for example whether to remove the record."""

ReadResult = Record | CacheError
"""A record, or the error that prevents reading it.

The error is a `CorruptRecordError` for a damaged record and a `BackendError` for one that the store
cannot read.
"""


class Backend(Protocol):
    """A store of records under string keys.

    The manager decides whether a record is expired and interprets its payload. A store may drop a
    record once ``head.removable_at`` has passed, at any later time. It must not drop the record
    earlier: an expired record may still be served stale.
    """

    name: str
    """Short word for logs and ``repr``; it must contain no secret."""

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """Read several records in one round trip.

        Args:
            keys: store keys.

        Returns:
            The result of each key that is stored; absent keys are missing. A damaged record is
            removed or set aside, and its result is a `CorruptRecordError`.

        Raises:
            BackendError: the store cannot be read at all.
        """

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """Store several records under their ``head.key`` in one round trip.

        Args:
            records: the records; each replaces the stored record of its key.

        Returns:
            The records as stored, in the same order, with the store's stamps.

        Raises:
            BackendError: a record could not be stored. `BackendError.done` has those that are
                stored nevertheless.
        """

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """Remove several records in one round trip.

        Args:
            keys: store keys.
            only: if given, remove a record only if this returns ``True`` for its head. A record
                that replaces it meanwhile must not be removed in its place.

        Returns:
            The heads of the removed records.

        Raises:
            BackendError: a record could not be removed. `BackendError.done` has the heads of those
                that are removed nevertheless.
        """

    async def update(self, key: str, change: Change) -> Record | None:
        """Read, change and write one record as a single atomic step.

        Args:
            key: a store key.
            change: called with the stored record; returns the record to store.

        Returns:
            The record that is stored now, with its stamp; ``None`` if there is none.

        Raises:
            BackendError: the record could not be changed.
        """

    def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """Iterate over the heads of all records under a key prefix.

        Records that are written or deleted during the scan may or may not be yielded. All others
        are yielded exactly once. A store must never hold all keys in memory.

        Args:
            prefix: an area with its colon; empty for the entries of all areas.
            pattern: glob over the rest of the key, case-sensitive (`fnmatch`); ``None`` for all.

        Yields:
            The heads, in batches.

        Raises:
            BackendError: the store cannot be read.
        """

    async def clear(self, prefix: str) -> int:
        """Remove every record under a key prefix.

        Args:
            prefix: an area with its colon.

        Returns:
            The number of removed records.

        Raises:
            BackendError: not all records could be removed.
        """

    async def close(self) -> None:
        """Release all resources; a later use of the store opens them again."""


@runtime_checkable
class Coherent(Protocol):
    """A store that checks copies of its records in memory, so that a memory tier is possible."""

    def is_current(self, stamp: Any) -> bool:
        """Return whether the store still holds the version of a record that has this stamp.

        Called from any thread before every hit in memory. It must not wait, and returns ``False``
        when it cannot decide.

        Args:
            stamp: the ``stamp`` of a record that this store returned. A record without a stamp is
                not kept in memory. A store that is notified of changes may stamp only the records
                of `Backend.read`.
        """


@runtime_checkable
class Peekable(Protocol):
    """A store that can often answer a read without waiting."""

    def peek(self, key: str) -> Record | None | Pending:
        """Read one record without waiting.

        Args:
            key: a store key.

        Returns:
            The record; ``None`` if there certainly is none; `PENDING` if only `Backend.read` can
                decide.
        """


@runtime_checkable
class Sized(Protocol):
    """A store that knows its size without reading every record."""

    async def totals(self, prefix: str) -> tuple[int, int]:
        """Return the number and the total size of the records under a key prefix.

        Args:
            prefix: an area with its colon, or a longer prefix.

        Returns:
            The number of records and their size in bytes.
        """


@runtime_checkable
class Partitioned(Protocol):
    """A store that lists its areas without reading a head of every record."""

    async def areas(self) -> Collection[str]:
        """Return the areas of users' records, without their colons, in any order."""


@runtime_checkable
class Usage(Protocol):
    """A store that keeps the number of hits and the last access of each entry."""

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        """Add hits to entries and set their last access.

        Args:
            usage: for each store key, the hits to add and the last access in seconds since the
                epoch. Keys that are not stored are ignored.
        """

    async def usage(self, key: str) -> tuple[int, float | None]:
        """Return the hits of an entry and its last access in seconds since the epoch.

        Args:
            key: a store key.

        Returns:
            Both figures; ``(0, None)`` if the entry was never read or is not stored.
        """


@runtime_checkable
class Sweeper(Protocol):
    """A store in which crashed processes leave remains."""

    async def sweep(self, now: float) -> None:
        """Remove the remains that no process uses, such as temporary files and old indexes.

        Args:
            now: present time, in seconds since the epoch.
        """


@runtime_checkable
class Maintainable(Protocol):
    """A store from which the manager removes expired entries in the background."""

    async def maintain(self, now: float) -> Sequence[Head] | None:
        """Do one small step of a maintenance round.

        Args:
            now: present time, in seconds since the epoch.

        Returns:
            The heads of the entries that this step removed because ``head.removable_at`` has
            passed; ``None`` at the end of the round, or if no round is due.
        """


@runtime_checkable
class Evicting(Protocol):
    """A store that evicts entries by itself to stay within its bounds."""

    on_evict: Callable[[Head], object] | None
    """Function to call, from any thread, with the head of each evicted entry; ``None`` for none.

    A store that evicts in its own threads calls the function in the event loop, where it may emit
    an event.
    """


@runtime_checkable
class Expiring(Protocol):
    """A store that removes expired entries at other times than in `Maintainable.maintain`."""

    on_expire: Callable[[Head], object] | None
    """Function to call, from any thread, with the head of each entry removed in this way."""


@runtime_checkable
class Guarded(Protocol):
    """A store whose calls a circuit breaker guards."""

    on_breaker: Callable[[BaseException | None, float], None] | None
    """Function to call, from any thread, when the breaker opens and closes; ``None`` for none.

    Its arguments are the reason and zero when the breaker opens, and ``None`` and the seconds of
    the outage when it closes.
    """


class Lease(Protocol):
    """The exclusive right to compute the value of a key."""

    async def release(self) -> None:
        """Release the lease; do nothing if it is released or lost already.

        It must not raise when the store fails. If its caller is cancelled meanwhile, the lease is
        released nevertheless, at the latest soon after.
        """


@runtime_checkable
class Leasing(Protocol):
    """A store through which processes, threads and event loops take turns in computing a value.

    A lease has no time limit while its holder works, and it ends with its holder. When the process
    dies, another caller can acquire the lease within about a second, without any clean-up.

    A lease is no lock of the entry. Any caller may read, write, delete or clear the entry
    meanwhile. In a store that is `Generational` too, a change of the key frees its lease, because
    the computation of the holder is outdated. So does each `Generational.invalidate` and
    `Backend.clear` that concerns the key.
    """

    async def try_lease(self, key: str, version: str = "") -> Lease | None:
        """Acquire the lease of a key without waiting for its holder.

        A cancelled call leaves no lease behind.

        Args:
            key: a store key.
            version: the version of the entry's tags; empty without tags. A lease of another
                version is free, because the computation of its holder is outdated.

        Returns:
            The lease; ``None`` if any caller holds it, even the same one.
        """


@runtime_checkable
class Generational(Protocol):
    """A store in which a change wins over a computation that began before it.

    A computation takes the generation of its key before it reads the entry, and its result is
    stored only if the generation was not raised since. These changes raise it, in one step with
    the change and for all processes:

    - `Backend.write`, and `Backend.delete` without a condition, also of a key without an entry;
    - `Backend.update`, if it removes a record or stores another payload;
    - `Backend.clear` and `invalidate`, for each key under the prefix or matching the pattern.

    `write_computed` raises no generation. A store that loses generations, for instance because its
    memory is full, takes them as not raised. Keys of the library's own data need no generations.
    """

    def begin(self, key: str) -> object | Pending:
        """Return the present generation of a key without waiting.

        Returns:
            The generation, or `PENDING` if only `begin_and_read` can return it.
        """

    def is_raised(self, key: str, generation: Any) -> bool:
        """Return whether a generation is known to have been raised, or may have been.

        It must not wait. A store that cannot decide without waiting returns ``False``.
        """

    async def begin_and_read(
        self, keys: Sequence[str], *, supersede: bool = False
    ) -> tuple[Sequence[object], Mapping[str, ReadResult]]:
        """Return the present generations of keys, and then what `Backend.read` returns.

        Both take one round trip. With ``supersede``, the generations are raised before that, so
        that no earlier computation stores its result.
        """

    async def write_computed(
        self, records: Sequence[Record], generations: Sequence[Any]
    ) -> Sequence[Record | None]:
        """Store the records of computed values, except those with a raised generation.

        Args:
            records: the records, as for `Backend.write`.
            generations: the generation that the computation of each record took.

        Returns:
            What `Backend.write` returns, with ``None`` for each record that is not stored.

        Raises:
            BackendError: a record could not be stored; the others may have been.
        """

    def invalidate(self, prefix: str, pattern: str) -> AsyncIterator[Sequence[Head]]:
        """Remove the matching records, and raise the generations of all matching keys.

        Each record that was stored before the call is removed, also if it is replaced meanwhile. A
        record that was stored later may be removed or stay.

        Args:
            prefix: an area with its colon.
            pattern: glob over the rest of the key, as for `Backend.scan`.

        Yields:
            The heads of removed records, in batches.
        """


@runtime_checkable
class Settleable(Protocol):
    """A store that knows whether a key was changed within the last seconds, by any process.

    With it, a value that was stored elsewhere during an outage is kept (`backends.fallback`).
    """

    async def update_unchanged(self, key: str, seconds: float, change: Change) -> Record | None:
        """Update a record like `Backend.update`, unless its key was changed.

        If the generation of the key was raised within the last seconds, or may have been, the
        record is removed. Changes of this process do not count, because the caller knows them. A
        record of a later release is removed, too.

        Args:
            key: a store key.
            seconds: the time, which is measured by the store's own clock.
            change: called with the stored record; returns the record to store, or ``None``.

        Returns:
            The record that is stored now; ``None`` if there is none.

        Raises:
            BackendError: the record could not be changed.
        """


@runtime_checkable
class Probed(Protocol):
    """A store of which a part may be unavailable."""

    async def probe(self) -> None:
        """Return if the whole store is available.

        Raises:
            StoreUnavailableError: a part of the store, or all of it, is unavailable.
        """


@runtime_checkable
class SecretKeeper(Protocol):
    """A store that is private enough to create and keep a secret of its own."""

    async def secret(self) -> bytes:
        """Return the store's secret, which is created on first use."""


class Check(NamedTuple):
    """Result of one check of a store, for a person to read.

    Attributes:
        name: the thing that was checked.
        level: ``"ok"``; ``"warning"`` if the store works, but less well than it could;
            ``"failure"`` if it does not work.
        detail: the finding.
    """

    name: str
    level: Literal["ok", "warning", "failure"]
    detail: str


@runtime_checkable
class Examinable(Protocol):
    """A store that checks its own health, for ``aiocache-pe doctor``."""

    async def examine(self) -> Sequence[Check]:
        """Check the requirements of the store; report a failure in the result, not by raising."""


@runtime_checkable
class Located(Protocol):
    """A store that has a location for each entry, for a person to look at."""

    def location(self, key: str) -> str:
        """Return the location of an entry, for example a path; the entry need not exist.

        Args:
            key: a store key.
        """
