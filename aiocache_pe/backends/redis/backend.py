"""Redis store: `Backend` and its capabilities, with one round trip for most methods."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar
from weakref import finalize

from aiocache_pe.backends.base import Change, Check, Condition, ReadResult
from aiocache_pe.backends.newer_records import find_newer, report_replaced
from aiocache_pe.backends.redis import scripts
from aiocache_pe.backends.redis.client_tracking import TrackedVersion, Tracker
from aiocache_pe.backends.redis.clients import Client, Clients, has_several_servers
from aiocache_pe.backends.redis.cluster import Command
from aiocache_pe.backends.redis.commands import Commands, raise_denials, raise_refusals
from aiocache_pe.backends.redis.doctor import examine
from aiocache_pe.backends.redis.generations import (
    LIFETIME,
    RedisGeneration,
    Versioned,
    find_last_number,
    is_young,
    make_generation,
    make_invalidation,
    make_token,
)
from aiocache_pe.backends.redis.key_names import (
    LEASE_PREFIX,
    list_names,
    make_entry_name,
    make_generation_name,
    make_invalidation_names,
    make_lease_name,
    make_name_filter,
    make_scan_pattern,
    make_usage_name,
    make_wide_scan_pattern,
    parse_lease_name,
    parse_store_key,
)
from aiocache_pe.backends.redis.leases import RedisLease, try_acquire
from aiocache_pe.backends.redis.record_codec import RecordCodec
from aiocache_pe.backends.redis.scripts import ScriptCall
from aiocache_pe.backends.redis.server_clock import ServerClock
from aiocache_pe.backends.redis.url import Address, parse
from aiocache_pe.clock import Clock, SystemClock
from aiocache_pe.exceptions import (
    BackendError,
    ConfigurationError,
    CorruptRecordError,
    NewerRecordError,
    StoreUnavailableError,
)
from aiocache_pe.keys.glob import compile_glob
from aiocache_pe.keys.store_keys import is_internal_key
from aiocache_pe.record import Head, Record
from aiocache_pe.runtime.error_copies import copy_error
from aiocache_pe.runtime.loops import checkpoint
from aiocache_pe.sentinels import PENDING, Pending

T = TypeVar("T")

_UNLINK_BATCH = 1000  # names in one round trip
_MAX_ATTEMPTS = 1000  # of an update while other processes change the same key


class RedisBackend:
    """A store in Redis or Valkey: one server, a primary behind Sentinels, or a Cluster.

    The store connects on first use. Each event loop has a client of its own, which is closed at
    the end of the loop. The server removes expired entries.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or
            ``redis+cluster://`` (`aiocache_pe.backends.redis.url`).
        client: a `redis.asyncio` client to use instead of a URL. The store never closes it, and it
            works only in the event loop that it belongs to.
        clock: the clock by which the lifetime of entries is computed.
        tracking: whether to receive the changes of other processes, so that entries may be kept in
            memory. It takes one connection to each primary, in the library's background thread.

    Raises:
        ConfigurationError: neither or both of ``url`` and ``client`` are given, or the URL is
            invalid.

    Example:
        >>> RedisBackend("redis://user:secret@localhost:6379/0")
        RedisBackend('redis://localhost:6379/0')
    """

    name = "redis"

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Client | None = None,
        clock: Clock | None = None,
        tracking: bool = True,
    ) -> None:
        if (url is None) == (client is None):
            given = "neither" if url is None else "both"
            raise ConfigurationError(f"RedisBackend needs either a URL or a client; got {given}")
        address = Address("standalone", "the given client", ()) if url is None else parse(url)
        self._server = address.safe_url
        self._clients = Clients(address, client)
        clock = SystemClock() if clock is None else clock
        self._server_clock = ServerClock(clock)
        self._records = RecordCodec(clock, self._server_clock)
        self._token_start = os.urandom(6).hex().encode("ascii")
        # Only the client of a Cluster or of Sentinels knows the primaries, and a user's client
        # belongs to another loop than the listeners.
        is_tracking = tracking and not (client is not None and has_several_servers(client))
        self._tracker = Tracker(self._clients, self._server) if is_tracking else None
        if self._tracker is not None:
            finalize(self, self._tracker.stop)
        self._commands = Commands(self._clients, self._server, self._tracker)

    def __repr__(self) -> str:
        return f"RedisBackend({self._server!r})"

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """See `Backend.read`; a damaged value is removed."""
        if not keys:
            return {}
        return (await self._read(keys, ()))[1]

    async def _read(
        self, keys: Sequence[str], more_names: Sequence[bytes]
    ) -> tuple[Sequence[Versioned], dict[str, ReadResult]]:
        """Return the values of other names, and then the records of keys, in one round trip."""
        await self._follow_clock()
        names = [*more_names, *(make_entry_name(key) for key in keys)]
        tracker = self._tracker
        versions = tracker.make_versions(names) if tracker is not None else None
        values = await self._commands.get(names)
        if versions is None or tracker is None or not tracker.has_all_primaries():
            versions = [None] * len(names)

        answers = list(zip(values, versions, strict=True))
        found: dict[str, ReadResult] = {}
        pairs = zip(keys, answers[len(more_names) :], strict=True)
        for count, (key, (value, version)) in enumerate(pairs, 1):
            await checkpoint(count)
            if value is None:
                continue
            if isinstance(value, BackendError):
                found[key] = value
                continue
            stamp = version if version is not None and version.is_current else None
            try:
                found[key] = self._records.decode(value, key, stamp)
            except NewerRecordError as error:
                found[key] = error
            except CorruptRecordError as error:
                await self._replace(key, value, None)
                found[key] = error
        return answers[: len(more_names)], found

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """See `Backend.write`."""
        await self._follow_clock()
        own_data = [record for record in records if is_internal_key(record.head.key)]
        changes = [record for record in records if not is_internal_key(record.head.key)]
        calls: list[ScriptCall] = []
        for record in changes:
            entry, _, *names = list_names(make_entry_name(record.head.key))
            calls.append(([entry, *names], [*self._records.encode(record), self._make_token()]))
        try:
            answers = await self._commands.batch(
                [self._records.make_set(record) for record in own_data], keeps_answers=True
            )
            answers += await self._commands.run_many(scripts.WRITE, calls)
        finally:
            self._mark_changed(record.head.key for record in records)
        raise_refusals(answers, lambda: _select_done(answers, own_data + changes))
        for record, answer in zip(own_data + changes, answers, strict=True):
            if isinstance(answer, list) and (error := find_newer(answer[0])):
                report_replaced(self.name, record.head.key, error)
        return [Record(record.head, record.payload) for record in records]

    def begin(self, key: str) -> Pending:
        """See `Generational.begin`; only the server knows the generation."""
        return PENDING

    def is_raised(self, key: str, generation: RedisGeneration) -> bool:
        """See `Generational.is_raised`; it knows what the listener has received."""
        return generation.is_raised

    async def begin_and_read(
        self, keys: Sequence[str], *, supersede: bool = False
    ) -> tuple[Sequence[RedisGeneration], Mapping[str, ReadResult]]:
        """See `Generational.begin_and_read`; a round trip more raises the generations."""
        names = [make_entry_name(key) for key in keys]
        tokens = [make_generation_name(name) for name in names]
        if supersede:
            commands: list[Command] = [("UNLINK", make_lease_name(name)) for name in names]
            commands += [("SET", token, self._make_token(), "PX", LIFETIME) for token in tokens]
            raise_refusals(await self._commands.batch(commands))
            self._mark_changed(keys)
        areas = list(dict.fromkeys(_get_area(key) for key in keys))
        numbers = [make_invalidation_names(area)[0] for area in areas]
        answers, found = await self._read(keys, numbers + tokens)
        last = dict(zip(areas, answers, strict=False))
        pairs = zip(keys, answers[len(areas) :], strict=True)
        return [make_generation(token, last[_get_area(key)]) for key, token in pairs], found

    async def write_computed(
        self, records: Sequence[Record], generations: Sequence[RedisGeneration]
    ) -> Sequence[Record | None]:
        """See `Generational.write_computed`.

        One round trip, another one after an invalidation in the area, and in a Cluster two: there
        the script cannot read the invalidations, which may be in another slot.
        """
        pending = dict(enumerate(generations))
        known: dict[int, bytes] = {}
        stored: list[Record | None] = [None] * len(records)
        refusals: list[Any] = []
        try:
            while pending:
                calls = [
                    self._make_computed(records[n], each, known.get(n, b""))
                    for n, each in pending.items()
                ]
                answers = await self._commands.run_many(scripts.WRITE_COMPUTED, calls)
                for n, answer in zip(list(pending), answers, strict=True):
                    generation, key = pending.pop(n), records[n].head.key
                    if answer == 1:
                        stored[n] = Record(records[n].head, records[n].payload)
                    elif isinstance(answer, BackendError):
                        refusals.append(answer)
                    elif isinstance(answer, list):
                        if error := find_newer(answer[0], key):
                            refusals.append(error)
                        else:
                            known[n], pending[n] = answer[0], generation
                    elif answer != 0:
                        rest = key[len(_get_area(key)) :]
                        number = find_last_number(answer, rest, generation.number)
                        if number is not None:
                            pending[n] = replace(generation, number=number)
            if self._commands.is_cluster:
                await self._remove_invalidated(stored, generations)
        finally:
            self._mark_changed(record.head.key for record in records)
        raise_refusals(refusals, lambda: [record for record in stored if record is not None])
        return stored

    async def invalidate(self, prefix: str, pattern: str) -> AsyncIterator[Sequence[Head]]:
        """See `Generational.invalidate`."""
        failure: BackendError | None = None
        try:
            await self._supersede(prefix, pattern)
            async for names in self._scan_and_free_leases(prefix, pattern):
                keys = [key for name in names if (key := parse_store_key(name)) is not None]
                try:
                    removed = await self.delete(keys)
                except StoreUnavailableError:
                    raise
                except BackendError as error:
                    if "WRONGTYPE" not in str(error):  # not a string of this library
                        failure = error
                    removed = error.done
                if removed:
                    yield removed
        finally:
            self._mark_matching_changed(prefix, pattern)
        if failure is not None:
            raise failure

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """See `Backend.delete`; a condition costs a second round trip."""
        await self._follow_clock()
        names = [make_entry_name(key) for key in keys]
        if only is None:
            chosen: list[tuple[bytes, bytes]] = [(name, b"") for name in names]
        else:
            lines = await self._commands.get_heads(names)
            chosen = []
            for key, name, line in zip(keys, names, lines, strict=True):
                head = self._records.decode_head(line, key)
                if head is not None and line and only(head):
                    chosen.append((name, line))

        try:
            token = self._make_token() if only is None else b""
            calls = [(list_names(name), (line, token)) for name, line in chosen]
            removed_lines = await self._commands.run_many(scripts.DELETE_AND_GET_HEAD, calls)
        finally:
            self._mark_changed(keys)
        chosen_keys = [parse_store_key(name) or "" for name, _ in chosen]
        lines = [None if isinstance(line, BackendError) else line for line in removed_lines]
        removed = self._records.decode_heads(lines, chosen_keys)
        raise_refusals(removed_lines, lambda: removed)
        return removed

    async def update(self, key: str, change: Change) -> Record | None:
        """See `Backend.update`; it repeats if another writer changes the key meanwhile."""
        await self._follow_clock()
        name = make_entry_name(key)
        async with self._clients.get_link().get_key_lock(name):
            for _ in range(_MAX_ATTEMPTS):
                value: bytes | None = await self._commands.call("GET", name)
                before = self._records.decode_valid(value, key)
                after = change(before)
                if after is before and (before is not None or value is None):
                    if before is None:  # another process may have removed what is kept here
                        self._mark_changed([key])
                    return before
                is_touched = (
                    before is not None and after is not None and (after.payload is before.payload)
                )
                is_change = not is_touched and not is_internal_key(key)
                if await self._replace(key, value, after, is_change=is_change):
                    return None if after is None else Record(after.head, after.payload)
        raise BackendError(
            f"{self._server}: update of {key!r:.80} failed {_MAX_ATTEMPTS} times, because other "
            "processes changed the key meanwhile"
        )

    async def update_unchanged(self, key: str, seconds: float, change: Change) -> Record | None:
        """See `Settleable.update_unchanged`; two round trips, and in a Cluster three.

        The ages of the token and of the last invalidation show whether the key was changed. A
        token that the server has lost counts as not raised, as in `write_computed`.
        """
        await self._follow_clock()
        names, area = list_names(make_entry_name(key)), _get_area(key)
        number_name, list_name = make_invalidation_names(area)
        reads: list[Command] = [("GET", each) for each in (names[0], number_name, list_name)]
        reads.append(("PTTL", number_name))
        is_cluster, milliseconds = self._commands.is_cluster, b"%d" % (seconds * 1000)
        for _ in range(_MAX_ATTEMPTS):
            answers = raise_refusals(await self._commands.batch(reads))
            value, number, lines, life = answers
            is_matched = find_last_number(lines or b"", key[len(area) :], None) is None
            try:
                after = change(self._records.decode_valid(value, key))
            except NewerRecordError:
                after = None
            if after is None or (is_matched and is_young(life, seconds)):
                break
            digest, token = scripts.compute_digest(value), self._make_token()
            args = digest, *self._records.encode(after), token, milliseconds, self._own_tokens
            call = names if is_cluster else [*names, number_name], (*args, number or b"")
            try:
                answer = await self._commands.run(scripts.UPDATE_UNCHANGED, call)
            finally:
                self._mark_changed([key])
            stored: list[Record | None] = [Record(after.head, after.payload)]
            if answer == 1 and is_cluster:
                await self._remove_invalidated(stored, [RedisGeneration(None, number)])
            if answer == 1:
                return stored[0]
            if answer == -1:
                break
        await self.delete([key])
        return None

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """See `Backend.scan`; ``SCAN`` visits all keys of the server."""
        await self._follow_clock()
        matches = compile_glob(pattern)
        async for names in self._commands.scan(make_scan_pattern(prefix)):
            keys = {name: key for name in names if (key := parse_store_key(name)) is not None}
            if matches is not None:
                keys = {name: key for name, key in keys.items() if matches(key[len(prefix) :])}
            lines = await self._commands.get_heads(list(keys))
            if heads := self._records.decode_heads(lines, keys.values()):
                yield heads

    async def clear(self, prefix: str) -> int:
        """See `Backend.clear`; by ``SCAN`` and ``UNLINK``, never by ``FLUSHDB``."""
        removed = 0
        try:
            await self._supersede(prefix, "*")
            async for names in self._scan_and_free_leases(prefix, None):
                remaining = iter(names)
                while batch := list(islice(remaining, _UNLINK_BATCH)):
                    entries = [("UNLINK", name) for name in batch]
                    usages = [("UNLINK", make_usage_name(name)) for name in batch]
                    answers = await self._commands.batch(entries + usages)
                    removed += sum(raise_refusals(answers[: len(batch)]))
        finally:
            self._mark_matching_changed(prefix, None)
        return removed

    async def close(self) -> None:
        """See `Backend.close`; the client of another loop is closed at the end of that loop."""
        if self._tracker is not None:
            self._tracker.stop()
        await self._clients.close()

    def is_current(self, stamp: Any) -> bool:
        """See `Coherent.is_current`; it reads two flags."""
        return type(stamp) is TrackedVersion and stamp.is_valid and stamp.session.is_alive

    async def try_lease(self, key: str, version: str = "") -> RedisLease | None:
        """See `Leasing.try_lease`."""
        return await try_acquire(self._commands, key, version, self._make_token())

    async def totals(self, prefix: str) -> tuple[int, int]:
        """See `Sized.totals`; it reads no value."""
        count = total_size = 0
        async for names in self._commands.scan(make_scan_pattern(prefix)):
            sizes = await self._commands.batch([("STRLEN", name) for name in names])
            raise_denials(sizes)
            count += len(names)
            total_size += sum(size for size in sizes if isinstance(size, int))
        return count, total_size

    async def areas(self) -> Collection[str]:
        """See `Partitioned.areas`; ``SCAN`` visits all keys of the server."""
        found: set[str] = set()
        async for names in self._commands.scan(make_scan_pattern("")):
            keys = (key for name in names if (key := parse_store_key(name)) is not None)
            found.update(key.partition(":")[0] for key in keys if not is_internal_key(key))
        return found

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        """See `Usage.add_usage`."""
        await self._follow_clock()
        ahead = self._server_clock.difference
        calls = [
            _make_call(make_entry_name(key), b"%d" % hits, repr(last_access + ahead).encode())
            for key, (hits, last_access) in usage.items()
        ]
        raise_refusals(await self._commands.run_joined(scripts.ADD_USAGE, calls))

    async def usage(self, key: str) -> tuple[int, float | None]:
        """See `Usage.usage`."""
        call = _make_call(make_entry_name(key), b"0", b"")
        [answer] = await self._commands.run(scripts.ADD_USAGE, call)
        hits, _, last_access = answer.partition(b" ")
        if not last_access:
            return int(hits or 0), None
        return int(hits or 0), float(last_access) - self._server_clock.difference

    async def probe(self) -> None:
        """See `Probed.probe`; in a Cluster, every primary must answer."""
        await self._commands.probe()

    async def examine(self) -> Sequence[Check]:
        """See `Examinable.examine`."""
        return [check async for check in examine(self._commands)]

    async def _replace(
        self, key: str, value: bytes | None, after: Record | None, *, is_change: bool = False
    ) -> bool:
        """Replace or remove a value; return ``False`` if another writer has changed it."""
        args = (b"", b"") if after is None else self._records.encode(after)
        token = self._make_token() if is_change else b""
        names = list_names(make_entry_name(key))
        call: ScriptCall = names, (scripts.compute_digest(value), *args, token)
        try:
            return bool(await self._commands.run(scripts.COMPARE_AND_SET, call))
        finally:
            self._mark_changed([key])

    async def _follow_clock(self) -> None:
        """Measure the server's clock when due: before the first use, later in the background.

        All callers wait for one measurement. One after the other, each would wait for a silent
        server again.
        """
        if not self._server_clock.is_due():
            return
        link = self._clients.get_link()
        if self._server_clock.is_known:
            link.start(self._commands.measure_clock(self._server_clock))
            return
        if link.measuring is None or link.measuring.done():
            link.measuring = link.start(self._commands.measure_clock(self._server_clock))
        try:
            await asyncio.shield(link.measuring)
        except StoreUnavailableError as error:  # each caller raises an exception of its own
            raise copy_error(error) from error.__cause__

    def _mark_changed(self, keys: Iterable[str]) -> None:
        if self._tracker is not None:
            self._tracker.mark_changed([make_entry_name(key) for key in keys])

    def _mark_matching_changed(self, prefix: str, pattern: str | None) -> None:
        """Drop the copies of matching entries, also of those that another process has removed."""
        if self._tracker is not None:
            self._tracker.mark_matching_changed(make_name_filter(prefix, pattern))

    async def _supersede(self, prefix: str, pattern: str) -> None:
        """Raise the generations of all keys that match a pattern."""
        if not is_internal_key(prefix):
            number = make_token()
            args = number, make_invalidation(number, pattern)
            await self._commands.run(scripts.INVALIDATE, (make_invalidation_names(prefix), args))

    async def _scan_and_free_leases(
        self, prefix: str, pattern: str | None
    ) -> AsyncIterator[list[bytes]]:
        """Iterate in batches over the names of matching entries, and free matching leases.

        Their holders began before the removal, so no later caller shall wait for them.
        """
        is_chosen = make_name_filter(prefix, pattern)
        async for names in self._commands.scan(make_wide_scan_pattern(prefix)):
            leases = [name for name in names if name.startswith(LEASE_PREFIX)]
            freed = [("UNLINK", name) for name in leases if is_chosen(parse_lease_name(name))]
            if freed:
                raise_refusals(await self._commands.batch(freed))
            if entries := list(filter(is_chosen, names)):
                yield entries

    async def _remove_invalidated(
        self, stored: list[Record | None], generations: Sequence[RedisGeneration]
    ) -> None:
        """Remove stored records that were invalidated since their computation began."""
        for n, record in enumerate(stored):
            if record is None:
                continue
            area, _, rest = record.head.key.partition(":")
            number_name, list_name = make_invalidation_names(area + ":")
            [number, lines] = await self._commands.get([number_name, list_name])
            seen = generations[n].number
            if number in (None, seen) or find_last_number(lines or b"", rest, seen) is not None:
                continue
            line = self._records.encode_head(record).removesuffix(b"\n")
            call = list_names(make_entry_name(record.head.key)), (line, b"")
            await self._commands.run(scripts.DELETE_AND_GET_HEAD, call)
            stored[n] = None

    def _make_computed(
        self, record: Record, generation: RedisGeneration, known: bytes
    ) -> ScriptCall:
        """Return the call that stores a computed record.

        Args:
            record: the record.
            generation: the generation that the computation took.
            known: beginning of the present entry, if that may be replaced.
        """
        name, key = make_entry_name(record.head.key), record.head.key
        names = [name, make_generation_name(name)]
        if not self._commands.is_cluster:
            names += make_invalidation_names(_get_area(key))
        taken = generation.token or b"", generation.number or b""
        return names, (*self._records.encode(record), *taken, known)

    @property
    def _own_tokens(self) -> bytes:
        """Return the beginning of all tokens of this store in this process."""
        return b"%b%08x" % (self._token_start, os.getpid())  # a forked child has other ones

    def _make_token(self) -> bytes:
        return make_token(self._own_tokens)


def _select_done(answers: Sequence[Any], results: Sequence[T]) -> list[T]:
    """Return the results whose answers are no errors."""
    pairs = zip(answers, results, strict=True)
    return [result for answer, result in pairs if not isinstance(answer, BackendError)]


def _make_call(name: bytes, *args: bytes | str) -> ScriptCall:
    return (name, make_usage_name(name)), args


def _get_area(key: str) -> str:
    return key[: key.index(":") + 1]
