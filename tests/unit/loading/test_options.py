"""Options of a load are checked where they are given; errors have the accepted values."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.loading.options import DEFAULT_POLICY, LoadPolicy, parse_options
from aiocache_pe.runtime.single_flight import WAIT_TIMEOUT


def test_no_options_give_the_default_policy() -> None:
    assert parse_options({}) is DEFAULT_POLICY
    assert parse_options({"lock": True}) == DEFAULT_POLICY
    assert DEFAULT_POLICY.lock == WAIT_TIMEOUT


def test_durations_are_accepted_in_every_form() -> None:
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


def test_infinity_is_a_duration() -> None:
    assert (parse_options({"stale_ttl": math.inf}).stale_ttl or 0) > 50 * 365 * 86400
    assert parse_options({"lock": math.inf}).lock == math.inf
    assert parse_options({"lock": False}).lock is None
    assert parse_options({"hard_timeout": math.inf}).hard_timeout is None


def test_jitter_is_a_part_of_the_ttl_or_a_duration() -> None:
    part = parse_options({"jitter": 0.1}).jitter
    seconds = parse_options({"jitter": "30s"}).jitter
    assert part is not None
    assert seconds is not None
    assert part(1000.0) == 100.0
    assert seconds(1000.0) == 30.0
    assert seconds(10.0) == 10.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stale_ttl": 0}, r"stale_ttl must be a positive number of seconds.*; got int: 0"),
        ({"stale_ttl": True}, r"stale_ttl must be .*; got bool: True"),
        ({"stale_ttl": "soon"}, r"stale_ttl must be .*; got str: 'soon'"),
        ({"hard_timeout": -1}, r"hard_timeout must be .*; got int: -1"),
        ({"hard_timeout": [1]}, r"hard_timeout must be .*; got list: \[1\]"),
        ({"soft_timeout": math.nan, "stale_ttl": 1}, r"soft_timeout must be .*; got float: nan"),
        ({"soft_timeout": 1}, r"soft_timeout needs a stale_ttl: .* no stale value to serve"),
        (
            {"soft_timeout": 2, "hard_timeout": 2, "stale_ttl": 9},
            r"soft_timeout must be shorter than hard_timeout=2; got 2",
        ),
        ({"refresh_ahead": 1}, r"refresh_ahead must be a part of the ttl, .*; got int: 1"),
        ({"refresh_ahead": True}, r"refresh_ahead must be .*; got bool: True"),
        ({"refresh_ahead": "80%"}, r"refresh_ahead must be .*; got str: '80%'"),
        ({"jitter": 1}, r"jitter must be a part of the ttl, .*; got int: 1"),
        ({"jitter": 30.0}, r"jitter must be .*\"30s\".*; got float: 30.0"),
        ({"jitter": "x"}, r"jitter must be .*; got str: 'x'"),
        ({"lock": "often"}, r"lock must be .*; got str: 'often'"),
        ({"lock": None}, r"lock must be .*; got NoneType: None"),
    ],
)
async def test_an_invalid_value_raises(
    options: dict[str, Any], message: str, memory: CacheManager
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_options(options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=message):
        cached(ttl=10, **options)
    with pytest.raises(ConfigurationError, match=message):
        await memory.get_or_set("k", lambda: 1, 10, **options)


async def test_an_unknown_option_is_a_type_error(memory: CacheManager) -> None:
    with pytest.raises(TypeError, match=r"get_or_set has no setting 'stale'; it accepts ttl, "):
        await memory.get_or_set("k", lambda: 1, stale=10)  # type: ignore[call-overload]


@pytest.mark.parametrize("options", [{"stale_ttl": 5}, {"refresh_ahead": 0.5}, {"jitter": 0.5}])
async def test_options_of_expiring_entries_need_a_ttl(
    options: dict[str, Any], memory: CacheManager
) -> None:
    message = f"{next(iter(options))} needs a ttl: an entry without one never expires"
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
    parsed = parse_options(options)  # type: ignore[arg-type]
    assert LoadPolicy.build(lambda value: None, None, parsed)[2:] == parsed[2:]
