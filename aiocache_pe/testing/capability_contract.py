"""Contract of capabilities, tested for the stores that have them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiocache_pe.backends.base import (
    Backend,
    Coherent,
    Leasing,
    Maintainable,
    Peekable,
    Sized,
    Usage,
)
from aiocache_pe.record import Head, Record
from aiocache_pe.sentinels import PENDING
from aiocache_pe.testing.contract_support import (
    NAMES,
    PREFIX,
    StoreTestCase,
    get_content,
    make_record,
    with_store,
)


class CapabilityContract(StoreTestCase):
    """Tests of the optional protocols in `aiocache_pe.backends.base`."""

    @with_store
    async def test_a_stamp_is_current_until_the_record_changes(self, backend: Backend) -> None:
        if not isinstance(backend, Coherent):
            return
        coherent = backend

        async def wait_until_current() -> object:
            """Write a record, and return its stamp once a copy of it may be kept."""
            [written] = await backend.write([make_record("a", b"1")])
            if written.stamp is not None:
                assert coherent.is_current(written.stamp)
            for _ in range(1000):  # a store that receives messages may first have to receive one
                read = (await backend.read([PREFIX + "a"]))[PREFIX + "a"]
                assert isinstance(read, Record)
                if read.stamp is not None and coherent.is_current(read.stamp):
                    await asyncio.sleep(0.002)
                    if coherent.is_current(read.stamp):
                        return read.stamp
                await asyncio.sleep(0.01)
            raise AssertionError("no stamp is current, so no copy may be kept")

        changes: Sequence[Callable[[], Awaitable[object]]] = (
            lambda: backend.write([make_record("a", b"2")]),
            lambda: backend.update(PREFIX + "a", lambda before: make_record("a", b"3")),
            lambda: backend.delete([PREFIX + "a"]),
            lambda: backend.clear(PREFIX),
        )
        for change in changes:
            stamp = await wait_until_current()
            await change()
            assert not backend.is_current(stamp)

    @with_store
    async def test_peek_returns_the_current_record_or_pending(self, backend: Backend) -> None:
        if not isinstance(backend, Peekable):
            return
        assert backend.peek(PREFIX + "a") in (None, PENDING)
        await backend.write([make_record("a")])
        peeked = backend.peek(PREFIX + "a")
        assert peeked is PENDING or get_content(peeked) == get_content(make_record("a"))
        await backend.delete([PREFIX + "a"])
        assert backend.peek(PREFIX + "a") in (None, PENDING)

    @with_store
    async def test_totals_count_the_records_of_one_prefix(self, backend: Backend) -> None:
        if not isinstance(backend, Sized):
            return
        assert await backend.totals(PREFIX) == (0, 0)
        await backend.write([make_record("a", b"x" * 1000), make_record("b", b"x" * 1000)])
        await backend.write([Record(Head(1, "contract2:a", "json", 0.0, 1), b"1")])
        entries, weight = await backend.totals(PREFIX)
        assert entries == 2
        assert weight >= 2000

    @with_store
    async def test_usage_is_added_up_and_removed_with_its_record(self, backend: Backend) -> None:
        if not isinstance(backend, Usage):
            return
        await backend.write([make_record("a")])
        assert await backend.usage(PREFIX + "a") == (0, None)
        await backend.add_usage({PREFIX + "a": (2, 1500.0), PREFIX + "absent": (1, 1.0)})
        await backend.add_usage({PREFIX + "a": (3, 1600.0)})
        assert await backend.usage(PREFIX + "a") == (5, 1600.0)
        assert await backend.usage(PREFIX + "absent") == (0, None)
        await backend.write([make_record("a", created_at=2000.0)])
        assert await backend.usage(PREFIX + "a") == (0, None)
        await backend.add_usage({PREFIX + "a": (1, 2100.0)})
        await backend.delete([PREFIX + "a"])
        assert await backend.usage(PREFIX + "a") == (0, None)
        await backend.add_usage({})

    @with_store
    async def test_usage_is_not_a_record_and_changes_none(self, backend: Backend) -> None:
        if not isinstance(backend, Usage):
            return
        names = [*NAMES, "{tagged}", "a{}b", "}{", "{", "}", "{a", "a}"]
        await backend.write([make_record(name) for name in names])
        await backend.add_usage({PREFIX + name: (n + 1, 1500.0) for n, name in enumerate(names)})
        usages = [await backend.usage(PREFIX + name) for name in names]
        assert usages == [(n + 1, 1500.0) for n in range(len(names))]
        scanned = [head.key async for heads in backend.scan(PREFIX) for head in heads]
        assert sorted(scanned) == sorted(PREFIX + name for name in names)
        if isinstance(backend, Sized):
            assert (await backend.totals(PREFIX))[0] == len(names)
        assert await backend.clear(PREFIX) == len(names)
        assert {await backend.usage(PREFIX + name) for name in names} == {(0, None)}

    @with_store
    async def test_a_maintenance_round_removes_only_expired_records(self, backend: Backend) -> None:
        if not isinstance(backend, Maintainable):
            return
        maintained, future = backend, 1e9

        async def run_round() -> list[str]:
            removed: list[str] = []
            while (heads := await maintained.maintain(future)) is not None:
                removed.extend(head.key.removeprefix(PREFIX) for head in heads)
            return removed

        expired = [f"expired {n}" for n in range(1000)]
        kept = {
            "permanent": make_record("permanent"),
            "later": make_record("later", expires_at=1.5e9),
            "stale": make_record("stale", expires_at=1500.0, stale_until=1.5e9),
            "extended": make_record("extended", expires_at=1.5e9),
            "made permanent": make_record("made permanent"),
        }
        await backend.write([make_record(name, expires_at=1500.0) for name in expired])
        await backend.write([make_record(name, expires_at=1500.0) for name in kept])
        await backend.write([make_record("deleted", expires_at=1500.0)])
        await backend.delete([PREFIX + "deleted"])
        await backend.write(list(kept.values())[:-1])
        await backend.update(PREFIX + "made permanent", lambda before: kept["made permanent"])
        assert sorted(await run_round()) == sorted(expired)
        remaining = [head.key async for heads in backend.scan(PREFIX) for head in heads]
        assert sorted(remaining) == sorted(PREFIX + name for name in kept)

    @with_store
    async def test_one_of_many_callers_acquires_the_lease(self, backend: Backend) -> None:
        if not isinstance(backend, Leasing):
            return
        tries = await asyncio.gather(*(backend.try_lease(PREFIX + "a") for _ in range(50)))
        [lease] = [lease for lease in tries if lease is not None]
        assert not lease.is_lost
        assert await backend.try_lease(PREFIX + "a") is None
        for name in NAMES[1:]:
            other = await backend.try_lease(PREFIX + name)
            assert other is not None
            await other.release()
        await lease.release()
        second = await backend.try_lease(PREFIX + "a")
        assert second is not None
        await lease.release()  # no effect: another caller holds the lease now
        assert await backend.try_lease(PREFIX + "a") is None
        await second.release()

    @with_store
    async def test_a_lease_holds_in_other_event_loops(self, backend: Backend) -> None:
        if not isinstance(backend, Leasing):
            return
        leasing = backend

        async def acquire_elsewhere() -> bool:
            lease = await leasing.try_lease(PREFIX + "a")
            if lease is not None:
                await lease.release()
            return lease is not None

        lease = await leasing.try_lease(PREFIX + "a")
        assert lease is not None
        assert not await asyncio.to_thread(asyncio.run, acquire_elsewhere())
        await lease.release()
        assert await asyncio.to_thread(asyncio.run, acquire_elsewhere())

    @with_store
    async def test_leases_and_other_methods_do_not_affect_each_other(
        self, backend: Backend
    ) -> None:
        if not isinstance(backend, Leasing):
            return
        lease = await backend.try_lease(PREFIX + "a")
        assert lease is not None
        assert dict(await backend.read([PREFIX + "a"])) == {}
        assert [h async for heads in backend.scan(PREFIX) for h in heads] == []
        await backend.write([make_record("a")])
        await backend.update(PREFIX + "a", lambda before: make_record("a", b"2"))
        if isinstance(backend, Sized):
            assert (await backend.totals(PREFIX))[0] == 1
        assert len(await backend.delete([PREFIX + "a"])) == 1
        await backend.write([make_record("a")])
        assert await backend.clear(PREFIX) == 1
        assert not lease.is_lost
        assert await backend.try_lease(PREFIX + "a") is None
        await lease.release()

    @with_store
    async def test_a_cancelled_caller_leaves_no_lease(self, backend: Backend) -> None:
        if not isinstance(backend, Leasing):
            return
        for steps in range(5):
            task = asyncio.ensure_future(backend.try_lease(PREFIX + "a"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            [outcome] = await asyncio.gather(task, return_exceptions=True)
            if outcome is not None and not isinstance(outcome, BaseException):
                await outcome.release()
            tries = 0
            while (lease := await backend.try_lease(PREFIX + "a")) is None:
                tries += 1
                assert tries < 500
                await asyncio.sleep(0.01)
            await lease.release()
