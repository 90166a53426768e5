"""Contract of every store, as a test suite to inherit.

The author of a store writes::

    class TestMyStore(BackendContract):
        async def make_backend(self):
            return MyStore(...)

and runs pytest; no plugin is needed. A capability is tested if the store has it.
"""

from __future__ import annotations

import asyncio

from aiocache_pe.backends.base import Backend
from aiocache_pe.record import Head, Record, pack_head, unpack
from aiocache_pe.testing.capability_contract import CapabilityContract
from aiocache_pe.testing.contract_support import NAMES, PREFIX, get_content, make_record, with_store


class BackendContract(CapabilityContract):
    """Tests of the methods of `aiocache_pe.backends.base.Backend`, on which the manager relies."""

    @with_store
    async def test_a_missing_record_is_not_found(self, backend: Backend) -> None:
        assert dict(await backend.read([PREFIX + "a", PREFIX + "b"])) == {}
        assert list(await backend.delete([PREFIX + "a"])) == []
        assert await backend.clear(PREFIX) == 0
        assert [heads async for heads in backend.scan(PREFIX) if heads] == []

    @with_store
    async def test_a_record_is_read_byte_for_byte(self, backend: Backend) -> None:
        payload = bytes(range(256)) * 300
        full = make_record("a", payload, expires_at=9e9, tags={"t": "1", "u \ud800": "2"}, cost=0.1)
        await backend.write([full])
        found = (await backend.read([PREFIX + "a"]))[PREFIX + "a"]
        assert get_content(found) == get_content(full)
        assert isinstance(found, Record)
        packed = pack_head(found.head, found.payload) + found.payload
        assert get_content(unpack(packed, key=PREFIX + "a")) == get_content(full)

    @with_store
    async def test_every_text_is_a_distinct_key(self, backend: Backend) -> None:
        records = [make_record(name, str(n).encode()) for n, name in enumerate(NAMES)]
        await backend.write(records)
        found = await backend.read([PREFIX + name for name in NAMES])
        assert {key: get_content(value) for key, value in found.items()} == {
            each.head.key: get_content(each) for each in records
        }
        scanned = [head.key async for heads in backend.scan(PREFIX) for head in heads]
        assert sorted(scanned) == sorted(PREFIX + name for name in NAMES)
        removed = await backend.delete([PREFIX + name for name in NAMES])
        assert len(removed) == len(NAMES)

    @with_store
    async def test_a_later_record_replaces_an_earlier_one(self, backend: Backend) -> None:
        for payload in (b"1", b"2", b"333", b""):
            await backend.write([make_record("a", payload)])
            found = (await backend.read([PREFIX + "a"]))[PREFIX + "a"]
            assert get_content(found) == get_content(make_record("a", payload))

    @with_store
    async def test_many_records_are_written_and_read_in_one_call(self, backend: Backend) -> None:
        records = [make_record(f"k{n}", str(n).encode()) for n in range(1000)]
        stored = await backend.write(records)
        assert [get_content(each) for each in stored] == [get_content(each) for each in records]
        found = await backend.read([each.head.key for each in records] + [PREFIX + "absent"])
        assert len(found) == 1000
        assert dict(await backend.read([])) == {}
        assert list(await backend.write([])) == []

    @with_store
    async def test_delete_returns_the_heads_of_removed_records(self, backend: Backend) -> None:
        await backend.write([make_record("a"), make_record("b")])
        removed = await backend.delete([PREFIX + "a", PREFIX + "absent"])
        assert list(removed) == [make_record("a").head]
        assert list(await backend.read([PREFIX + "a", PREFIX + "b"])) == [PREFIX + "b"]

    @with_store
    async def test_a_conditional_delete_removes_only_matching_records(
        self, backend: Backend
    ) -> None:
        # Both expire in the future, because a store may remove expired records by itself.
        await backend.write(
            [make_record("old", expires_at=8e9), make_record("new", expires_at=9e9)]
        )
        removed = await backend.delete(
            [PREFIX + "old", PREFIX + "new"], lambda head: head.is_expired(8.5e9)
        )
        assert [head.key for head in removed] == [PREFIX + "old"]
        assert list(await backend.read([PREFIX + "old", PREFIX + "new"])) == [PREFIX + "new"]

    @with_store
    async def test_an_expired_record_that_may_be_served_stale_is_kept(
        self, backend: Backend
    ) -> None:
        stale = make_record("a", expires_at=1001.0, stale_until=9e9)
        await backend.write([stale])
        assert get_content((await backend.read([PREFIX + "a"]))[PREFIX + "a"]) == get_content(stale)
        assert [head async for heads in backend.scan(PREFIX) for head in heads] == [stale.head]
        await backend.update(PREFIX + "a", lambda before: before)
        assert get_content((await backend.read([PREFIX + "a"]))[PREFIX + "a"]) == get_content(stale)

    @with_store
    async def test_update_reads_a_record_and_stores_the_changed_one(self, backend: Backend) -> None:
        payloads: list[object] = []

        def grow(before: Record | None) -> Record:
            payloads.append(before and before.payload)
            return make_record("a", b"x" if before is None else before.payload + b"x")

        await backend.update(PREFIX + "a", grow)
        await backend.update(PREFIX + "a", grow)
        stored = await backend.update(PREFIX + "a", grow)
        assert payloads == [None, b"x", b"xx"]
        assert get_content(stored) == get_content(make_record("a", b"xxx"))
        assert get_content((await backend.read([PREFIX + "a"]))[PREFIX + "a"]) == get_content(
            stored
        )

    @with_store
    async def test_update_can_keep_or_remove_a_record(self, backend: Backend) -> None:
        await backend.write([make_record("a")])
        kept = await backend.update(PREFIX + "a", lambda before: before)
        assert get_content(kept) == get_content(make_record("a"))
        assert await backend.update(PREFIX + "a", lambda before: None) is None
        assert await backend.update(PREFIX + "a", lambda before: before) is None
        assert dict(await backend.read([PREFIX + "a"])) == {}

    @with_store
    async def test_an_exception_of_a_change_reaches_the_caller_and_nothing_is_stored(
        self, backend: Backend
    ) -> None:
        await backend.write([make_record("a")])

        def fail(before: Record | None) -> Record:
            raise ZeroDivisionError

        try:
            await backend.update(PREFIX + "a", fail)
        except ZeroDivisionError:
            pass
        else:
            raise AssertionError("update must raise the exception of the change")
        assert get_content((await backend.read([PREFIX + "a"]))[PREFIX + "a"]) == get_content(
            make_record("a")
        )

    @with_store
    async def test_concurrent_updates_are_all_applied(self, backend: Backend) -> None:
        def increment(before: Record | None) -> Record:
            return make_record("n", str(int(before.payload if before else b"0") + 1).encode())

        await asyncio.gather(*(backend.update(PREFIX + "n", increment) for _ in range(100)))
        found = (await backend.read([PREFIX + "n"]))[PREFIX + "n"]
        assert get_content(found) == get_content(make_record("n", b"100"))

    @with_store
    async def test_scan_selects_by_prefix_and_pattern(self, backend: Backend) -> None:
        names = ["user:1", "user:2", "User:3", "x" * 300 + "1", "x" * 300 + "2"]
        await backend.write([make_record(name) for name in names])
        await backend.write(
            [Record(Head(1, "contract2:user:1", "json", 0.0, 1), b"1")],
        )

        async def list_matching(pattern: str | None) -> list[str]:
            heads = [h async for batch in backend.scan(PREFIX, pattern) for h in batch]
            return sorted(head.key.removeprefix(PREFIX) for head in heads)

        assert await list_matching(None) == sorted(names)
        assert await list_matching("*") == sorted(names)
        assert await list_matching("user:*") == ["user:1", "user:2"]
        assert await list_matching("[uU]ser:?") == ["User:3", "user:1", "user:2"]
        assert await list_matching("*x2") == ["x" * 300 + "2"]
        assert await list_matching("nothing*") == []

    @with_store
    async def test_clear_removes_the_records_of_one_prefix(self, backend: Backend) -> None:
        other = Record(Head(1, "contract+tags:t", "json", 0.0, 1), b"1")
        await backend.write([make_record("a"), make_record("b"), other])
        assert await backend.clear(PREFIX) == 2
        assert list(await backend.read([PREFIX + "a", "contract+tags:t"])) == ["contract+tags:t"]
        await backend.write([make_record("a")])
        assert list(await backend.read([PREFIX + "a"])) == [PREFIX + "a"]

    def test_a_store_works_after_close_and_in_another_event_loop(self) -> None:
        async def write_around_close() -> Backend:
            backend = await self.make_backend()
            await backend.write([make_record("a")])
            await backend.close()
            await backend.write([make_record("b")])
            return backend

        async def write_in_another_loop(backend: Backend) -> None:
            await backend.write([make_record("c")])
            assert PREFIX + "c" in await backend.read([PREFIX + "c"])
            await backend.close()
            await backend.close()

        asyncio.run(write_in_another_loop(asyncio.run(write_around_close())))
