"""The part of the contract that concerns capabilities: tested where a store has them."""

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
from aiocache_pe.testing.contract_support import AREA, NAMES, StoreTestCase, content, record


class CapabilityContract(StoreTestCase):
    """What the manager relies on where a store offers it; see `aiocache_pe.backends.base`."""

    def test_a_stamp_is_current_until_the_record_changes(self) -> None:
        async def test(backend: Backend) -> None:
            if not isinstance(backend, Coherent):
                return
            coherent = backend

            async def current() -> object:
                """The stamp of a record just written, as soon as its copy may be kept."""
                [written] = await backend.write([record("a", b"1")])
                if written.stamp is not None:
                    assert coherent.is_current(written.stamp)
                for _ in range(1000):  # a store that is told of changes may have to hear first
                    read = (await backend.read([AREA + "a"]))[AREA + "a"]
                    assert isinstance(read, Record)
                    if read.stamp is not None and coherent.is_current(read.stamp):
                        await asyncio.sleep(0.002)
                        if coherent.is_current(read.stamp):
                            return read.stamp
                    await asyncio.sleep(0.01)
                raise AssertionError("no copy may ever be kept")

            changes: Sequence[Callable[[], Awaitable[object]]] = (
                lambda: backend.write([record("a", b"2")]),
                lambda: backend.update(AREA + "a", lambda before: record("a", b"3")),
                lambda: backend.delete([AREA + "a"]),
                lambda: backend.clear(AREA),
            )
            for change in changes:
                stamp = await current()
                await change()
                assert not backend.is_current(stamp)

        self.run(test)

    def test_a_peek_tells_the_truth_or_nothing(self) -> None:
        async def test(backend: Backend) -> None:
            if not isinstance(backend, Peekable):
                return
            assert backend.peek(AREA + "a") in (None, PENDING)
            await backend.write([record("a")])
            peeked = backend.peek(AREA + "a")
            assert peeked is PENDING or content(peeked) == content(record("a"))
            await backend.delete([AREA + "a"])
            assert backend.peek(AREA + "a") in (None, PENDING)

        self.run(test)

    def test_the_size_counts_one_area(self) -> None:
        async def test(backend: Backend) -> None:
            if not isinstance(backend, Sized):
                return
            assert await backend.totals(AREA) == (0, 0)
            await backend.write([record("a", b"x" * 1000), record("b", b"x" * 1000)])
            await backend.write([Record(Head(1, "contract2:a", "json", 0.0, 1), b"1")])
            entries, weight = await backend.totals(AREA)
            assert entries == 2
            assert weight >= 2000

        self.run(test)

    def test_usage_adds_up_and_goes_with_the_entry(self) -> None:
        async def test(backend: Backend) -> None:
            if not isinstance(backend, Usage):
                return
            await backend.write([record("a")])
            assert await backend.usage(AREA + "a") == (0, None)
            await backend.add_usage({AREA + "a": (2, 1500.0), AREA + "absent": (1, 1.0)})
            await backend.add_usage({AREA + "a": (3, 1600.0)})
            assert await backend.usage(AREA + "a") == (5, 1600.0)
            assert await backend.usage(AREA + "absent") == (0, None)
            await backend.write([record("a", created_at=2000.0)])
            assert await backend.usage(AREA + "a") == (0, None)
            await backend.add_usage({AREA + "a": (1, 2100.0)})
            await backend.delete([AREA + "a"])
            assert await backend.usage(AREA + "a") == (0, None)
            await backend.add_usage({})

        self.run(test)

    def test_usage_is_no_entry_and_changes_none(self) -> None:
        async def test(backend: Backend) -> None:
            if not isinstance(backend, Usage):
                return
            names = [*NAMES, "{tagged}", "a{}b", "}{", "{", "}", "{a", "a}"]
            await backend.write([record(name) for name in names])
            await backend.add_usage({AREA + name: (n + 1, 1500.0) for n, name in enumerate(names)})
            usages = [await backend.usage(AREA + name) for name in names]
            assert usages == [(n + 1, 1500.0) for n in range(len(names))]
            seen = [head.key async for heads in backend.scan(AREA) for head in heads]
            assert sorted(seen) == sorted(AREA + name for name in names)
            if isinstance(backend, Sized):
                assert (await backend.totals(AREA))[0] == len(names)
            assert await backend.clear(AREA) == len(names)
            assert {await backend.usage(AREA + name) for name in names} == {(0, None)}

        self.run(test)

    def test_a_round_removes_what_is_over_and_nothing_else(self) -> None:
        async def test(backend: Backend) -> None:
            if not isinstance(backend, Maintainable):
                return
            tending, much_later = backend, 1e9

            async def whole_round() -> list[str]:
                gone: list[str] = []
                while (heads := await tending.maintain(much_later)) is not None:
                    gone.extend(head.key.removeprefix(AREA) for head in heads)
                return gone

            over = [f"over {n}" for n in range(1000)]
            kept = {
                "no end": record("no end"),
                "later": record("later", expires_at=1.5e9),
                "stale": record("stale", expires_at=1500.0, stale_until=1.5e9),
                "longer": record("longer", expires_at=1.5e9),
                "for ever": record("for ever"),
            }
            await backend.write([record(name, expires_at=1500.0) for name in over])
            await backend.write([record(name, expires_at=1500.0) for name in kept])
            await backend.write([record("deleted", expires_at=1500.0)])
            await backend.delete([AREA + "deleted"])
            await backend.write(list(kept.values())[:-1])
            await backend.update(AREA + "for ever", lambda before: kept["for ever"])
            assert sorted(await whole_round()) == sorted(over)
            left = [head.key async for heads in backend.scan(AREA) for head in heads]
            assert sorted(left) == sorted(AREA + name for name in kept)

        self.run(test)

    def test_one_of_many_gets_the_lease(self) -> None:
        async def test(backend: Backend) -> None:
            if not isinstance(backend, Leasing):
                return
            tries = await asyncio.gather(*(backend.try_lease(AREA + "a") for _ in range(50)))
            [lease] = [lease for lease in tries if lease is not None]
            assert not lease.is_lost
            assert await backend.try_lease(AREA + "a") is None
            for name in NAMES[1:]:
                other = await backend.try_lease(AREA + name)
                assert other is not None
                await other.release()
            await lease.release()
            again = await backend.try_lease(AREA + "a")
            assert again is not None
            await lease.release()  # of what is another's by now
            assert await backend.try_lease(AREA + "a") is None
            await again.release()

        self.run(test)

    def test_other_event_loops_see_the_lease(self) -> None:
        async def test(backend: Backend) -> None:
            if not isinstance(backend, Leasing):
                return
            leasing = backend

            async def elsewhere() -> bool:
                lease = await leasing.try_lease(AREA + "a")
                if lease is not None:
                    await lease.release()
                return lease is not None

            lease = await leasing.try_lease(AREA + "a")
            assert lease is not None
            assert not await asyncio.to_thread(asyncio.run, elsewhere())
            await lease.release()
            assert await asyncio.to_thread(asyncio.run, elsewhere())

        self.run(test)

    def test_a_lease_hinders_no_verb_and_no_verb_ends_it(self) -> None:
        async def test(backend: Backend) -> None:
            if not isinstance(backend, Leasing):
                return
            lease = await backend.try_lease(AREA + "a")
            assert lease is not None
            assert dict(await backend.read([AREA + "a"])) == {}
            assert [h async for heads in backend.scan(AREA) for h in heads] == []
            await backend.write([record("a")])
            await backend.update(AREA + "a", lambda before: record("a", b"2"))
            if isinstance(backend, Sized):
                assert (await backend.totals(AREA))[0] == 1
            assert len(await backend.delete([AREA + "a"])) == 1
            await backend.write([record("a")])
            assert await backend.clear(AREA) == 1
            assert not lease.is_lost
            assert await backend.try_lease(AREA + "a") is None
            await lease.release()

        self.run(test)

    def test_who_is_cancelled_leaves_no_lease(self) -> None:
        async def test(backend: Backend) -> None:
            if not isinstance(backend, Leasing):
                return
            for steps in range(5):
                task = asyncio.ensure_future(backend.try_lease(AREA + "a"))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                [outcome] = await asyncio.gather(task, return_exceptions=True)
                if outcome is not None and not isinstance(outcome, BaseException):
                    await outcome.release()
                tries = 0
                while (lease := await backend.try_lease(AREA + "a")) is None:
                    tries += 1
                    assert tries < 500
                    await asyncio.sleep(0.01)
                await lease.release()

        self.run(test)
