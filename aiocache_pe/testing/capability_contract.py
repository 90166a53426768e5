"""Contract of capabilities, tested for the stores that have them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiocache_pe.backends import capabilities
from aiocache_pe.backends.base import (
    Backend,
    Coherent,
    Generational,
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
    make_touched,
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
    async def test_the_areas_are_those_with_records_of_users(self, backend: Backend) -> None:
        long_area = f"{'x' * 199}%3A"
        keys = ["contract:a", "contract:b", "contract%3A2:a", f"{long_area}:a", "own+tags:a"]
        await backend.write([Record(Head(1, key, "json", 0.0, 1), b"1") for key in keys])
        found = await capabilities.list_areas(backend)
        assert {"contract", "contract%3A2", long_area} <= set(found)
        assert len(found) == len(set(found))
        assert "own+tags" not in found
        for key in keys:
            await backend.delete([key])
        assert not {"contract", "contract%3A2"} & set(await capabilities.list_areas(backend))

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
    async def test_a_lease_is_no_record_and_keeps_no_caller_from_changes(
        self, backend: Backend
    ) -> None:
        if not isinstance(backend, Leasing):
            return
        lease = await backend.try_lease(PREFIX + "a")
        assert lease is not None
        assert dict(await backend.read([PREFIX + "a"])) == {}
        assert [h async for heads in backend.scan(PREFIX) for h in heads] == []
        assert await backend.try_lease(PREFIX + "a") is None
        await backend.write([make_record("a")])
        await backend.update(PREFIX + "a", lambda before: make_record("a", b"2"))
        if isinstance(backend, Sized):
            assert (await backend.totals(PREFIX))[0] == 1
        assert len(await backend.delete([PREFIX + "a"])) == 1
        await backend.write([make_record("a")])
        assert await backend.clear(PREFIX) == 1
        await lease.release()

    @with_store
    async def test_a_change_frees_the_lease_of_its_key(self, backend: Backend) -> None:
        if not (isinstance(backend, Leasing) and isinstance(backend, Generational)):
            return
        for change in _make_changes(backend)[:-3]:
            lease = await backend.try_lease(PREFIX + "a")
            other = await backend.try_lease(PREFIX + "b")
            assert lease is not None
            assert other is not None
            await change()
            assert await backend.try_lease(PREFIX + "b") is None
            second = await backend.try_lease(PREFIX + "a")
            assert second is not None
            await lease.release()  # no effect: another caller holds the lease now
            assert await backend.try_lease(PREFIX + "a") is None
            await second.release()
            await other.release()

    @with_store
    async def test_a_change_of_many_keys_frees_their_leases(self, backend: Backend) -> None:
        if not (isinstance(backend, Leasing) and isinstance(backend, Generational)):
            return
        names = ["a", "b", "a}b", "{a}", "{}a}"]
        for change in _make_changes(backend)[-3:]:
            leases = [await backend.try_lease(PREFIX + name) for name in names]
            other = await backend.try_lease("contract2:a")
            await change()
            later = [await backend.try_lease(PREFIX + name) for name in names]
            assert None not in later
            assert await backend.try_lease("contract2:a") is None
            for lease in [*leases, *later, other]:
                assert lease is not None
                await lease.release()

    @with_store
    async def test_a_lease_of_another_version_is_free(self, backend: Backend) -> None:
        if not isinstance(backend, Leasing):
            return
        lease = await backend.try_lease(PREFIX + "a", "1")
        assert lease is not None
        assert await backend.try_lease(PREFIX + "a", "1") is None
        second = await backend.try_lease(PREFIX + "a", "2")
        assert second is not None
        await lease.release()  # no effect: another caller holds the lease now
        assert await backend.try_lease(PREFIX + "a", "2") is None
        await second.release()
        third = await backend.try_lease(PREFIX + "a", "2")
        assert third is not None
        await third.release()

    @with_store
    async def test_a_change_keeps_earlier_computations_from_storing(self, backend: Backend) -> None:
        if not isinstance(backend, Generational):
            return
        for change in _make_changes(backend):
            generation = await _begin(backend, "a")
            await change()
            before = await backend.read([PREFIX + "a"])
            [stored] = await backend.write_computed([make_record("a", b"old")], [generation])
            assert stored is None
            after = await backend.read([PREFIX + "a"])
            assert [*map(get_content, after.values())] == [*map(get_content, before.values())]

            later = await _begin(backend, "a")
            [stored] = await backend.write_computed([make_record("a", b"new")], [later])
            assert get_content(stored) == get_content(make_record("a", b"new"))
            await backend.delete([PREFIX + "a"])

    @with_store
    async def test_other_changes_and_reads_keep_no_computation_from_storing(
        self, backend: Backend
    ) -> None:
        if not isinstance(backend, Generational):
            return
        await backend.write([make_record("a", b"1")])
        generation = await _begin(backend, "a")
        await backend.read([PREFIX + "a"])
        await backend.write(
            [make_record("b"), Record(Head(1, "contract2:a", "json", 0.0, 1), b"1")]
        )
        await backend.update(PREFIX + "a", lambda before: before)
        await backend.update(
            PREFIX + "a",
            lambda before: before and make_touched(before),
        )
        await backend.delete([PREFIX + "a"], lambda head: head.created_at > 1e12)
        await backend.delete([PREFIX + "a"], lambda head: True)
        await backend.clear("contract2:")
        async for _ in backend.invalidate(PREFIX, "b*"):
            pass
        async for _ in backend.invalidate("contract2:", "a"):
            pass
        other = await _begin(backend, "a")
        [stored] = await backend.write_computed([make_record("a", b"2")], [other])
        assert stored is not None
        [stored] = await backend.write_computed([make_record("a", b"3")], [generation])
        assert get_content(stored) == get_content(make_record("a", b"3"))

    @with_store
    async def test_computed_records_are_stored_one_by_one(self, backend: Backend) -> None:
        if not isinstance(backend, Generational):
            return
        names = [f"k{n}" for n in range(300)]
        keys = [PREFIX + name for name in names]
        await backend.write([make_record("k0", b"0")])
        generations, found = await backend.begin_and_read(keys)
        assert [*map(get_content, found.values())] == [get_content(make_record("k0", b"0"))]
        await backend.delete(keys[::7])
        stored = await backend.write_computed([make_record(name) for name in names], generations)
        assert [record is None for record in stored] == [n % 7 == 0 for n in range(300)]
        assert set(await backend.read(keys)) == {key for n, key in enumerate(keys) if n % 7}

    @with_store
    async def test_a_computation_can_supersede_earlier_ones(self, backend: Backend) -> None:
        if not isinstance(backend, Generational):
            return
        await backend.write([make_record("a", b"1")])
        earlier = await _begin(backend, "a")
        [later], found = await backend.begin_and_read([PREFIX + "a"], supersede=True)
        assert list(found) == [PREFIX + "a"]
        assert await backend.write_computed([make_record("a", b"2")], [earlier]) == [None]
        [stored] = await backend.write_computed([make_record("a", b"3")], [later])
        assert get_content(stored) == get_content(make_record("a", b"3"))

    @with_store
    async def test_invalidate_removes_all_matching_records_and_no_others(
        self, backend: Backend
    ) -> None:
        if not isinstance(backend, Generational):
            return
        names = ["v:1", "v:2", "V:3", "w:1", "v:" + "x" * 300]
        await backend.write([make_record(name) for name in names])
        await backend.write([Record(Head(1, "contract2:v:1", "json", 0.0, 1), b"1")])
        removed = [head async for heads in backend.invalidate(PREFIX, "v:*") for head in heads]
        assert sorted(head.key.removeprefix(PREFIX) for head in removed) == sorted(
            [names[0], names[1], names[4]]
        )
        remaining = [head.key async for heads in backend.scan(PREFIX) for head in heads]
        assert sorted(remaining) == sorted([PREFIX + "V:3", PREFIX + "w:1"])
        assert list(await backend.read(["contract2:v:1"])) == ["contract2:v:1"]

    @with_store
    async def test_invalidate_removes_records_that_are_changed_meanwhile(
        self, backend: Backend
    ) -> None:
        if not isinstance(backend, Generational):
            return
        names = [f"v:{n}" for n in range(200)]
        await backend.write([make_record(name, b"0") for name in names])
        is_done = False

        async def touch() -> None:
            number = 0
            while not is_done:
                number += 1
                key = PREFIX + names[number % 200]
                await backend.update(key, lambda before: before and make_touched(before))
                await asyncio.sleep(0)

        touching = [asyncio.ensure_future(touch()) for _ in range(4)]
        async for _ in backend.invalidate(PREFIX, "v:*"):
            await asyncio.sleep(0)
        is_done = True
        await asyncio.gather(*touching)
        assert dict(await backend.read([PREFIX + name for name in names])) == {}

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


def _make_changes(backend: Generational) -> Sequence[Callable[[], Awaitable[object]]]:
    """Return functions that change the record ``a``: of few keys, then three of all keys."""
    store: Any = backend

    async def invalidate(pattern: str) -> None:
        async for _ in store.invalidate(PREFIX, pattern):
            pass

    async def remove_by_update() -> None:
        await store.write([make_record("a", b"0")])
        await store.update(PREFIX + "a", lambda before: None)

    return (
        lambda: store.write([make_record("a", b"1")]),
        lambda: store.delete([PREFIX + "a"]),
        lambda: store.update(PREFIX + "a", lambda before: make_record("a", b"2")),
        remove_by_update,
        lambda: invalidate("a"),
        lambda: store.clear(PREFIX),
        lambda: invalidate("*"),
        lambda: invalidate("*[ab}]"),
    )


async def _begin(backend: Generational, name: str) -> object:
    generation = backend.begin(PREFIX + name)
    if generation is PENDING:
        [generation], _ = await backend.begin_and_read([PREFIX + name])
    return generation
