"""``error_ttl``: chosen exceptions are remembered for a time, as a copy for each caller."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, bypass, cached, refresh, sync
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.testing import FakeClock
from tests.support.function_kinds import KINDS, Kind

FUNCTIONS = [kind for kind in KINDS if not kind.is_stream]
each_function = pytest.mark.parametrize("kind", FUNCTIONS, ids=lambda kind: kind.name)


class NotFoundError(Exception):
    """An error with another signature than its arguments, and with attributes."""

    def __init__(self, page: str, *, tried: list[str]) -> None:
        super().__init__(f"no page {page}")
        self.tried = tried


class Source:
    """A source of pages that counts its calls and raises an error while it has one."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Callable[[], Exception] | None = lambda: NotFoundError("a", tried=["b"])

    def make_body(self) -> Callable[..., int]:
        def fetch(page: str = "a") -> int:
            self.calls += 1
            if self.error is not None:
                raise self.error()
            return self.calls

        return fetch


@pytest.fixture
def source() -> Source:
    return Source()


async def fail(kind: Kind, call: Callable[[], Any]) -> NotFoundError:
    with pytest.raises(NotFoundError) as caught:
        await kind.get_result(call())
    return caught.value


@each_function
async def test_an_exception_is_remembered_for_its_time(
    kind: Kind, cache: CacheManager, clock: FakeClock, source: Source
) -> None:
    fetch = kind.decorate(source.make_body(), cache=cache, error_ttl={NotFoundError: "1m"})
    for _ in range(3):
        await fail(kind, fetch)
    assert source.calls == 1
    clock.advance(61)
    await fail(kind, fetch)
    assert source.calls == 2


@each_function
async def test_each_caller_has_a_fresh_copy(
    kind: Kind, memory: CacheManager, source: Source
) -> None:
    fetch = kind.decorate(source.make_body(), cache=memory, error_ttl={NotFoundError: 60})
    caught = []
    for _ in range(3):
        error = await fail(kind, fetch)
        assert (type(error), str(error), error.tried) == (NotFoundError, "no page a", ["b"])
        assert not hasattr(error, "__notes__")
        error.add_note("a note of one caller")
        error.tried.append("changed by one caller")
        caught.append(error)
    assert len({id(error) for error in caught}) == 3
    assert source.calls == 1


@each_function
async def test_only_chosen_classes_are_remembered(
    kind: Kind, memory: CacheManager, source: Source
) -> None:
    class OtherError(NotFoundError):
        pass

    body, calls = source.make_body(), 0
    fetch = kind.decorate(body, cache=memory, error_ttl={LookupError: "1m", OtherError: "1m"})
    for raised, is_remembered in ((ValueError, False), (KeyError, True), (IndexError, True)):
        source.error = raised
        source.calls = 0
        for _ in range(2):
            with pytest.raises(raised):
                await kind.get_result(fetch(raised.__name__))
        calls = 1 if is_remembered else 2
        assert source.calls == calls
    source.error, source.calls = (lambda: NotFoundError("a", tried=[])), 0
    for _ in range(2):
        await fail(kind, fetch)
    assert source.calls == 2


async def test_the_nearest_class_decides(memory: CacheManager, clock: FakeClock) -> None:
    calls = 0

    async def fetch() -> None:
        nonlocal calls
        calls += 1
        raise KeyError

    for _ in range(3):
        with pytest.raises(KeyError):
            await memory.get_or_set("k", fetch, error_ttl={LookupError: "1h", KeyError: 10})
        clock.advance(6)
    assert calls == 2


CHANGES: dict[str, Callable[[CacheManager, str], Coroutine[Any, Any, Any]]] = {
    "delete": lambda cache, key: cache.delete(key),
    "set": lambda cache, key: cache.set(key, 0, ttl=1),
    "invalidate": lambda cache, key: cache.invalidate("*"),
    "clear": lambda cache, key: cache.clear(),
    "tag": lambda cache, key: cache.delete_by_tag("pages"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
async def test_a_change_forgets_the_exception(
    cache: CacheManager, clock: FakeClock, source: Source, change: Any
) -> None:
    fetch = KINDS[0].decorate(
        source.make_body(), cache=cache, error_ttl={NotFoundError: "1h"}, tags=["pages"]
    )
    await fail(KINDS[0], fetch)
    await change(cache, fetch.cache_key())
    clock.advance(5)
    await fail(KINDS[0], fetch)
    assert source.calls == 2


@pytest.mark.parametrize("change", ["delete", "invalidate"])
async def test_a_change_in_another_process_forgets_the_exception(
    cache_dir: Path, source: Source, change: str
) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        fetch = KINDS[0].decorate(
            source.make_body(),
            cache=cache,
            error_ttl={NotFoundError: "1h"},
            key_prefix="page",
            key="{page}",
        )
        for _ in range(2):
            await fail(KINDS[0], fetch)
        assert source.calls == 1
        code = (
            "from aiocache_pe.sync import CacheManager\n"
            f"CacheManager(directory={str(cache_dir)!r}).{change}('page:a')"
        )
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=True)
        await fail(KINDS[0], fetch)
    assert source.calls == 2


@each_function
async def test_the_modes_call_the_function(
    kind: Kind, memory: CacheManager, source: Source
) -> None:
    fetch = kind.decorate(source.make_body(), cache=memory, error_ttl={NotFoundError: "1h"})
    await fail(kind, fetch)
    with bypass():
        await fail(kind, fetch)
    source.error = None
    with refresh():
        assert await kind.get_result(fetch()) == 3
    assert await kind.get_result(fetch()) == 3


async def test_concurrent_callers_have_copies_of_their_own(
    memory: CacheManager, source: Source
) -> None:
    fetch = KINDS[0].decorate(source.make_body(), cache=memory, error_ttl={NotFoundError: "1h"})
    for _ in range(2):
        errors = await asyncio.gather(*(fetch() for _ in range(5)), return_exceptions=True)
        assert {type(error) for error in errors} == {NotFoundError}
        assert len({id(error) for error in errors}) == 5
    assert source.calls == 1


async def test_a_remembered_exception_keeps_no_variables_alive(memory: CacheManager) -> None:
    class Large:
        pass

    references = []

    async def fetch() -> None:
        large = Large()
        references.append(weakref.ref(large))
        try:
            int(str(large))
        except ValueError as error:
            raise LookupError from error

    for _ in range(2):
        with pytest.raises(LookupError) as caught:
            await memory.get_or_set("k", fetch, error_ttl={LookupError: "1h"})
        assert isinstance(caught.value.__cause__, ValueError)
        del caught
    gc.collect()
    assert len(references) == 1
    assert references[0]() is None


async def test_the_number_of_remembered_exceptions_is_bounded(memory: CacheManager) -> None:
    calls = list[int]()

    @cached(cache=memory, error_ttl={LookupError: "1h"})
    async def fetch(number: int) -> None:
        calls.append(number)
        raise LookupError

    for number in [*range(1001), 1000, 0]:
        with pytest.raises(LookupError):
            await fetch(number)
    assert calls == [*range(1001), 0]


def test_blocking_get_or_set_remembers(clock: FakeClock) -> None:
    calls = 0

    def fetch() -> None:
        nonlocal calls
        calls += 1
        raise LookupError

    with sync.CacheManager("memory", clock=clock) as cache:
        for _ in range(2):
            with pytest.raises(LookupError):
                cache.get_or_set("k", fetch, error_ttl={LookupError: 60})
    assert calls == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1m", "error_ttl must be a mapping from classes of exceptions to durations"),
        ({"LookupError": "1m"}, "error_ttl must have classes derived from Exception as keys"),
        ({KeyboardInterrupt: "1m"}, "error_ttl must have classes derived from Exception as keys"),
        ({LookupError: "soon"}, "error_ttl must be a positive number of seconds"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(value: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        cached(error_ttl=value)


def test_a_stream_refuses_the_setting() -> None:
    async def stream() -> Any:
        yield 1

    with pytest.raises(ConfigurationError, match="error_ttl= has no meaning"):
        cached(error_ttl={LookupError: "1m"})(stream)
