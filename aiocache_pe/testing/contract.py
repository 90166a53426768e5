"""The contract that every store keeps, as a test suite to inherit.

A store's author writes::

    class TestMyStore(BackendContract):
        async def make_backend(self):
            return MyStore(...)

and runs pytest; no plug-in is needed. What only stores with a capability can do is
tested where the store has it.
"""

from __future__ import annotations

import asyncio

from aiocache_pe.backends.base import Backend
from aiocache_pe.record import Head, Record, pack_head, unpack
from aiocache_pe.testing.capability_contract import CapabilityContract
from aiocache_pe.testing.contract_support import AREA, NAMES, content, record


class BackendContract(CapabilityContract):
    """What the manager relies on; see `aiocache_pe.backends.base.Backend`."""

    def test_what_was_never_written_is_not_there(self) -> None:
        async def test(backend: Backend) -> None:
            assert dict(await backend.read([AREA + "a", AREA + "b"])) == {}
            assert list(await backend.delete([AREA + "a"])) == []
            assert await backend.clear(AREA) == 0
            assert [heads async for heads in backend.scan(AREA) if heads] == []

        self.run(test)

    def test_a_record_comes_back_byte_for_byte(self) -> None:
        async def test(backend: Backend) -> None:
            payload = bytes(range(256)) * 300
            full = record("a", payload, expires_at=9e9, tags={"t": "1", "u \ud800": "2"}, cost=0.1)
            await backend.write([full])
            found = (await backend.read([AREA + "a"]))[AREA + "a"]
            assert content(found) == content(full)
            assert isinstance(found, Record)
            packed = pack_head(found.head, found.payload) + found.payload
            assert content(unpack(packed, key=AREA + "a")) == content(full)

        self.run(test)

    def test_any_text_is_a_key_of_its_own(self) -> None:
        async def test(backend: Backend) -> None:
            records = [record(name, str(n).encode()) for n, name in enumerate(NAMES)]
            await backend.write(records)
            found = await backend.read([AREA + name for name in NAMES])
            assert {key: content(value) for key, value in found.items()} == {
                each.head.key: content(each) for each in records
            }
            scanned = [head.key async for heads in backend.scan(AREA) for head in heads]
            assert sorted(scanned) == sorted(AREA + name for name in NAMES)
            gone = await backend.delete([AREA + name for name in NAMES])
            assert len(gone) == len(NAMES)

        self.run(test)

    def test_a_later_record_takes_the_place_of_an_earlier_one(self) -> None:
        async def test(backend: Backend) -> None:
            for payload in (b"1", b"2", b"333", b""):
                await backend.write([record("a", payload)])
                found = (await backend.read([AREA + "a"]))[AREA + "a"]
                assert content(found) == content(record("a", payload))

        self.run(test)

    def test_many_records_are_written_and_read_at_once(self) -> None:
        async def test(backend: Backend) -> None:
            records = [record(f"k{n}", str(n).encode()) for n in range(1000)]
            stored = await backend.write(records)
            assert [content(each) for each in stored] == [content(each) for each in records]
            found = await backend.read([each.head.key for each in records] + [AREA + "absent"])
            assert len(found) == 1000
            assert dict(await backend.read([])) == {}
            assert list(await backend.write([])) == []

        self.run(test)

    def test_delete_tells_the_heads_of_what_was_there(self) -> None:
        async def test(backend: Backend) -> None:
            await backend.write([record("a"), record("b")])
            gone = await backend.delete([AREA + "a", AREA + "absent"])
            assert list(gone) == [record("a").head]
            assert list(await backend.read([AREA + "a", AREA + "b"])) == [AREA + "b"]

        self.run(test)

    def test_a_conditional_delete_spares_what_does_not_fit(self) -> None:
        async def test(backend: Backend) -> None:
            # Both to come: what is over already, a store may have dropped by itself.
            await backend.write([record("old", expires_at=8e9), record("new", expires_at=9e9)])
            gone = await backend.delete(
                [AREA + "old", AREA + "new"], lambda head: head.is_expired(8.5e9)
            )
            assert [head.key for head in gone] == [AREA + "old"]
            assert list(await backend.read([AREA + "old", AREA + "new"])) == [AREA + "new"]

        self.run(test)

    def test_what_may_be_served_stale_is_kept(self) -> None:
        async def test(backend: Backend) -> None:
            stale = record("a", expires_at=1001.0, stale_until=9e9)
            await backend.write([stale])
            assert content((await backend.read([AREA + "a"]))[AREA + "a"]) == content(stale)
            assert [head async for heads in backend.scan(AREA) for head in heads] == [stale.head]
            await backend.update(AREA + "a", lambda before: before)
            assert content((await backend.read([AREA + "a"]))[AREA + "a"]) == content(stale)

        self.run(test)

    def test_update_sees_what_is_there_and_stores_what_it_is_given(self) -> None:
        async def test(backend: Backend) -> None:
            seen: list[object] = []

            def grow(before: Record | None) -> Record:
                seen.append(before and before.payload)
                return record("a", b"x" if before is None else before.payload + b"x")

            await backend.update(AREA + "a", grow)
            await backend.update(AREA + "a", grow)
            stored = await backend.update(AREA + "a", grow)
            assert seen == [None, b"x", b"xx"]
            assert content(stored) == content(record("a", b"xxx"))
            assert content((await backend.read([AREA + "a"]))[AREA + "a"]) == content(stored)

        self.run(test)

    def test_update_can_leave_and_can_remove(self) -> None:
        async def test(backend: Backend) -> None:
            await backend.write([record("a")])
            left = await backend.update(AREA + "a", lambda before: before)
            assert content(left) == content(record("a"))
            assert await backend.update(AREA + "a", lambda before: None) is None
            assert await backend.update(AREA + "a", lambda before: before) is None
            assert dict(await backend.read([AREA + "a"])) == {}

        self.run(test)

    def test_what_a_change_raises_reaches_its_caller_and_changes_nothing(self) -> None:
        async def test(backend: Backend) -> None:
            await backend.write([record("a")])

            def fail(before: Record | None) -> Record:
                raise ZeroDivisionError

            try:
                await backend.update(AREA + "a", fail)
            except ZeroDivisionError:
                pass
            else:
                raise AssertionError("the error was lost")
            assert content((await backend.read([AREA + "a"]))[AREA + "a"]) == content(record("a"))

        self.run(test)

    def test_concurrent_updates_are_all_done(self) -> None:
        async def test(backend: Backend) -> None:
            def increment(before: Record | None) -> Record:
                return record("n", str(int(before.payload if before else b"0") + 1).encode())

            await asyncio.gather(*(backend.update(AREA + "n", increment) for _ in range(100)))
            found = (await backend.read([AREA + "n"]))[AREA + "n"]
            assert content(found) == content(record("n", b"100"))

        self.run(test)

    def test_scan_selects_by_area_and_pattern(self) -> None:
        async def test(backend: Backend) -> None:
            names = ["user:1", "user:2", "User:3", "x" * 300 + "1", "x" * 300 + "2"]
            await backend.write([record(name) for name in names])
            await backend.write(
                [Record(Head(1, "contract2:user:1", "json", 0.0, 1), b"1")],
            )

            async def matching(pattern: str | None) -> list[str]:
                heads = [h async for batch in backend.scan(AREA, pattern) for h in batch]
                return sorted(head.key.removeprefix(AREA) for head in heads)

            assert await matching(None) == sorted(names)
            assert await matching("*") == sorted(names)
            assert await matching("user:*") == ["user:1", "user:2"]
            assert await matching("[uU]ser:?") == ["User:3", "user:1", "user:2"]
            assert await matching("*x2") == ["x" * 300 + "2"]
            assert await matching("nothing*") == []

        self.run(test)

    def test_clear_empties_one_area_and_no_other(self) -> None:
        async def test(backend: Backend) -> None:
            other = Record(Head(1, "contract+tags:t", "json", 0.0, 1), b"1")
            await backend.write([record("a"), record("b"), other])
            assert await backend.clear(AREA) == 2
            assert list(await backend.read([AREA + "a", "contract+tags:t"])) == ["contract+tags:t"]
            await backend.write([record("a")])
            assert list(await backend.read([AREA + "a"])) == [AREA + "a"]

        self.run(test)

    def test_a_store_works_again_after_close_and_in_another_loop(self) -> None:
        async def first() -> Backend:
            backend = await self.make_backend()
            await backend.write([record("a")])
            await backend.close()
            await backend.write([record("b")])
            return backend

        async def second(backend: Backend) -> None:
            await backend.write([record("c")])
            assert AREA + "c" in await backend.read([AREA + "c"])
            await backend.close()
            await backend.close()

        asyncio.run(second(asyncio.run(first())))
