"""The Redis store: `Backend` and its capabilities, one round trip a verb."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any
from weakref import finalize

from redis.asyncio import RedisCluster

from aiocache_pe.backends.base import Change, Check, Condition, ReadResult
from aiocache_pe.backends.redis.access_stats import add, read
from aiocache_pe.backends.redis.client_tracking import TrackedVersion, Tracker
from aiocache_pe.backends.redis.clients import Client, Clients
from aiocache_pe.backends.redis.commands import Command, Commands
from aiocache_pe.backends.redis.doctor import examine
from aiocache_pe.backends.redis.key_names import (
    make_entry_name,
    make_match,
    make_usage_name,
    parse_store_key,
)
from aiocache_pe.backends.redis.leases import RedisLease, try_acquire
from aiocache_pe.backends.redis.scripts import SWAP, TAKE, digest
from aiocache_pe.backends.redis.url import Address, parse
from aiocache_pe.clock import Clock, SystemClock
from aiocache_pe.exceptions import BackendError, ConfigurationError, CorruptRecordError
from aiocache_pe.keys.glob import compile_glob
from aiocache_pe.record import Head, Record, pack_head, unpack, unpack_head

_UNLINKED = 1000  # names at a time
_ATTEMPTS = 1000


class RedisBackend:
    """Records in Redis or Valkey: one server, behind Sentinel, or a Cluster.

    Nothing is opened before it is used. Each event loop has a client of its own, closed
    at the loop's end; entries expire by the server.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or
            ``redis+cluster://`` (`aiocache_pe.backends.redis.url`).
        client: a `redis.asyncio` client to be used instead. It stays yours: it is not
            closed, and it works in the loop that it was made for.
        clock: the time from which the life of entries is counted.
        tracking: whether to listen to what others change, so that entries may be kept in
            memory. It takes a connection, in the library's background thread.

    Raises:
        ConfigurationError: neither or both are given, or the URL cannot be read.

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
            raise ConfigurationError("RedisBackend takes a URL or a client, one of them")
        address = Address("standalone", "the client given", ()) if url is None else parse(url)
        self._place = address.shown
        self._clients = Clients(address, client)
        self._commands = Commands(self._clients, self._place)
        self._clock = SystemClock() if clock is None else clock
        # A Cluster's client knows who is primary, which the listeners' loop would have to ask it.
        is_heard = tracking and not isinstance(client, RedisCluster)
        self._tracker = Tracker(self._clients, self._place) if is_heard else None
        if self._tracker is not None:
            finalize(self, self._tracker.stop)

    def __repr__(self) -> str:
        return f"RedisBackend({self._place!r})"

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """See `Backend.read`; a damaged value is removed."""
        if not keys:
            return {}
        names = [make_entry_name(key) for key in keys]
        stamps = self._tracker.make_versions(names) if self._tracker is not None else None
        values = await self._commands.get(names)
        if stamps is None or not self._covered():
            stamps = [None] * len(names)
        found: dict[str, ReadResult] = {}
        for key, value, stamp in zip(keys, values, stamps, strict=True):
            if value is None:
                continue
            if isinstance(value, BackendError):
                found[key] = value
                continue
            current = stamp if stamp is not None and stamp.is_current else None
            try:
                found[key] = unpack(value, key=key, stamp=current)
            except CorruptRecordError as error:
                await self._swap(key, value, None)
                found[key] = error
        return found

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """See `Backend.write`."""
        try:
            answers = await self._commands.batch([self._set(record) for record in records])
        finally:
            self._changed(record.head.key for record in records)
        for answer in answers:
            if isinstance(answer, BackendError):
                raise answer
        return [Record(record.head, record.payload) for record in records]

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """See `Backend.delete`; a condition costs a second round trip."""
        names = [make_entry_name(key) for key in keys]
        if only is None:
            wanted: list[tuple[bytes, bytes]] = [(name, b"") for name in names]
        else:
            lines = await self._commands.heads(names)
            wanted = []
            for key, name, line in zip(keys, names, lines, strict=True):
                head = None if line is None else _head(line, key)
                if head is not None and line and only(head):
                    wanted.append((name, line))
        try:
            taken = await self._commands.run_many(
                TAKE, [((name, make_usage_name(name)), (line,)) for name, line in wanted]
            )
        finally:
            self._changed(keys)
        heads: list[Head] = []
        for (name, _), line in zip(wanted, taken, strict=True):
            if isinstance(line, BackendError):
                raise line
            head = None if line is None else _head(line, parse_store_key(name) or "")
            if head is not None:
                heads.append(head)
        return heads

    async def update(self, key: str, change: Change) -> Record | None:
        """See `Backend.update`: read, change, and store if nobody was faster, else again."""
        name = make_entry_name(key)
        async with self._clients.link().turn(name):
            for _ in range(_ATTEMPTS):
                blob: bytes | None = await self._commands.call("GET", name)
                before = _unpacked(blob, key)
                after = change(before)
                if after is before and (before is not None or blob is None):
                    return before
                if await self._swap(key, blob, after):
                    return None if after is None else Record(after.head, after.payload)
        raise BackendError(f"{self._place}: others change {key!r:.80} all the time")

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """See `Backend.scan`; by ``SCAN``, which goes through the server's other keys too."""
        matches = compile_glob(pattern)
        async for names in self._commands.scan(make_match(prefix)):
            keys = {name: key for name in names if (key := parse_store_key(name)) is not None}
            if matches is not None:
                keys = {name: key for name, key in keys.items() if matches(key[len(prefix) :])}
            lines = await self._commands.heads(list(keys))
            found = (
                None if line is None else _head(line, key)
                for key, line in zip(keys.values(), lines, strict=True)
            )
            if heads := [head for head in found if head is not None]:
                yield heads

    async def clear(self, prefix: str) -> int:
        """See `Backend.clear`; ``SCAN`` and ``UNLINK``, never ``FLUSHDB``."""
        removed = 0
        try:
            async for names in self._commands.scan(make_match(prefix)):
                rest = iter(names)
                while some := list(islice(rest, _UNLINKED)):
                    besides = [("UNLINK", make_usage_name(name)) for name in some]
                    gone = await self._commands.batch([("UNLINK", n) for n in some] + besides)
                    for number in gone[: len(some)]:
                        if isinstance(number, BackendError):  # refused: it is still there
                            raise number
                        removed += number
        finally:
            if self._tracker is not None:
                self._tracker.mark_prefix_changed(make_entry_name(prefix))
        return removed

    async def close(self) -> None:
        """See `Backend.close`; a loop that is not told closes its client at its own end."""
        if self._tracker is not None:
            self._tracker.stop()
        await self._clients.close()

    def is_current(self, stamp: Any) -> bool:
        """See `Coherent.is_current`: two flags, set by whoever hears of a change."""
        return type(stamp) is TrackedVersion and stamp.valid and stamp.watch.alive

    async def try_lease(self, key: str) -> RedisLease | None:
        """See `Leasing.try_lease`."""
        return await try_acquire(self._clients, key, self._place)

    async def totals(self, prefix: str) -> tuple[int, int]:
        """See `Sized.totals`; reads no value."""
        entries = weight = 0
        async for names in self._commands.scan(make_match(prefix)):
            sizes = await self._commands.batch([("STRLEN", name) for name in names])
            entries += len(names)
            weight += sum(size for size in sizes if isinstance(size, int))
        return entries, weight

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        """See `Usage.add_usage`."""
        await add(self._commands, [(key, hits, last) for key, (hits, last) in usage.items()])

    async def usage(self, key: str) -> tuple[int, float | None]:
        """See `Usage.usage`."""
        return await read(self._commands, key)

    async def probe(self) -> None:
        """See `Probed.probe`; of a Cluster, every primary has to answer."""
        await self._commands.probe()

    async def examine(self) -> Sequence[Check]:
        """See `Examinable.examine`."""
        return [check async for check in examine(self._clients, self._commands)]

    async def _swap(self, key: str, blob: bytes | None, after: Record | None) -> bool:
        """Store a record, or nothing, in the place of a value; not if it is there no more."""
        new, life = (b"", b"") if after is None else (_blob(after), self._life(after.head))
        try:
            name = make_entry_name(key)
            names, args = (name, make_usage_name(name)), (digest(blob), new, life)
            done = await self._commands.run(SWAP, (names, args))
        finally:
            self._changed([key])
        return bool(done)

    def _changed(self, keys: Iterable[str]) -> None:
        """Take nothing for current that this process just changed, or tried to."""
        if self._tracker is not None:
            self._tracker.mark_changed([make_entry_name(key) for key in keys])

    def _covered(self) -> bool:
        return self._tracker is not None and self._tracker.is_covered(self._clients.link().client)

    def _set(self, record: Record) -> Command:
        name, life = make_entry_name(record.head.key), self._life(record.head)
        return ("SET", name, _blob(record), "PX", life) if life else ("SET", name, _blob(record))

    def _life(self, head: Head) -> bytes:
        """For how long the server shall keep a record, in milliseconds; empty for ever.

        Counted from now and not by the server's clock, which may be another.
        """
        if head.removable_at is None:
            return b""
        return b"%d" % min(
            max(math.ceil((head.removable_at - self._clock.time()) * 1000), 1), 1 << 52
        )


def _blob(record: Record) -> bytes:
    return pack_head(record.head, record.payload) + record.payload


def _unpacked(blob: bytes | None, key: str) -> Record | None:
    """The record, or ``None`` also where something damaged is in its place."""
    if blob is None:
        return None
    try:
        return unpack(blob, key=key)
    except CorruptRecordError:
        return None


def _head(line: bytes, key: str) -> Head | None:
    try:
        return unpack_head(line, key=key)
    except CorruptRecordError:
        return None
