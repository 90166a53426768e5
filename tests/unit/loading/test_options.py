"""LoadPolicy of a miss are checked where they are given, and the error says what would do."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.loading.options import DEFAULT_POLICY, LoadPolicy, parse_options
from aiocache_pe.runtime.single_flight import WAIT_TIMEOUT


def test_nothing_given_is_the_usual() -> None:
    assert parse_options({}) is DEFAULT_POLICY
    assert parse_options({"lock": True}) == DEFAULT_POLICY
    assert DEFAULT_POLICY.lock == WAIT_TIMEOUT


def test_durations_are_read_in_every_form() -> None:
    options = parse_options(
        {
            "stale_ttl": "1h30m",
            "soft_timeout": 0.25,
            "hard_timeout": timedelta(seconds=2),
            "lock": 10,
            "refresh_ahead": 0.8,
        }
    )
    assert (options.stale_ttl, options.refresh_ahead) == (5400.0, 0.8)
    assert (options.soft_timeout, options.hard_timeout, options.lock) == (0.25, 2.0, 10.0)


def test_for_ever_is_a_length_of_time_too() -> None:
    assert (parse_options({"stale_ttl": math.inf}).stale_ttl or 0) > 50 * 365 * 86400
    assert parse_options({"lock": math.inf}).lock == math.inf
    assert parse_options({"lock": False}).lock is None
    assert parse_options({"hard_timeout": math.inf}).hard_timeout is None


def test_jitter_is_a_part_or_a_duration() -> None:
    part, seconds = parse_options({"jitter": 0.1}).jitter, parse_options({"jitter": "30s"}).jitter
    assert part is not None
    assert seconds is not None
    assert part(1000.0) == 100.0
    assert seconds(1000.0) == 30.0
    assert seconds(10.0) == 10.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stale_ttl": 0}, r"stale_ttl must be a positive number of seconds, .*; got int: 0"),
        ({"stale_ttl": True}, r"stale_ttl=True"),
        ({"stale_ttl": "soon"}, r"stale_ttl='soon'"),
        ({"hard_timeout": -1}, r"hard_timeout=-1"),
        ({"hard_timeout": [1]}, r"hard_timeout=\[1\]"),
        ({"soft_timeout": math.nan, "stale_ttl": 1}, r"soft_timeout=nan"),
        ({"soft_timeout": 1}, r"soft_timeout= says when to serve a stale value.*stale_ttl="),
        ({"soft_timeout": 2, "hard_timeout": 2, "stale_ttl": 9}, r"shorter than hard_timeout=2"),
        ({"refresh_ahead": 1}, r"refresh_ahead=1: accepted is a part of the ttl"),
        ({"refresh_ahead": True}, r"refresh_ahead=True"),
        ({"refresh_ahead": "80%"}, r"refresh_ahead='80%'"),
        ({"jitter": 1}, r"jitter=1: accepted are a part of the ttl"),
        ({"jitter": 30.0}, r"jitter=30.0.*\"30s\""),
        ({"jitter": "x"}, r"jitter='x'"),
        ({"lock": "often"}, r"lock='often'"),
        ({"lock": None}, r"lock=None"),
    ],
)
async def test_what_cannot_work_is_refused(
    options: dict[str, Any], message: str, memory: CacheManager
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_options(options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=message):
        cached(ttl=10, **options)
    with pytest.raises(ConfigurationError, match=message):
        await memory.get_or_set("k", lambda: 1, 10, **options)


async def test_an_option_that_there_is_not_is_a_type_error(memory: CacheManager) -> None:
    with pytest.raises(TypeError, match=r"no option 'stale'; there are stale_ttl, "):
        await memory.get_or_set("k", lambda: 1, stale=10)  # type: ignore[call-overload]


@pytest.mark.parametrize("options", [{"stale_ttl": 5}, {"refresh_ahead": 0.5}, {"jitter": 0.5}])
async def test_what_never_expires_is_never_old(
    options: dict[str, Any], memory: CacheManager
) -> None:
    message = f"{next(iter(options))}= needs a ttl="
    with pytest.raises(ConfigurationError, match=message):
        LoadPolicy.build(None, None, parse_options(options))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=message):
        cached(ttl=None, **options)
    with pytest.raises(ConfigurationError, match=message):
        await memory.get_or_set("k", lambda: 1, **options)

    @cached(cache=memory, **options)
    async def f() -> int:
        return 1

    with pytest.raises(ConfigurationError, match=message):
        await f()
    read = parse_options(options)  # type: ignore[arg-type]
    assert LoadPolicy.build(lambda value: None, None, read)[2:] == read[2:]
