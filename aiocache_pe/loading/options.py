"""On which terms values are waited for, computed and stored: what a caller may ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypedDict

from aiocache_pe.context import Call
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.runtime.single_flight import WAIT_TIMEOUT
from aiocache_pe.ttl import TTL, Duration, parse_duration

_FOR_EVER = 100 * 365 * 86400.0  # seconds; what stands for it in a record, which is JSON
Lifetime = float | None | Callable[[Any], TTL]


class LoadOptions(TypedDict, total=False):
    """What `CacheManager.get_or_set` and `cached` take besides.

    Attributes:
        stale_ttl: how long an entry may be served after it expired, while it is computed
            anew in the background; ``None`` for not at all.
        refresh_ahead: the part of its time after which a hit has an entry computed anew in
            the background, such as 0.8; ``None`` for never.
        jitter: by how much an entry's time is shortened at most, at random: a part of it,
            such as 0.1, or a duration, such as ``"30s"``.
        soft_timeout: how long to wait for a value before a stale one is served instead.
        hard_timeout: how long to wait for a value before `LoadTimeoutError` is raised.
        lock: how long to wait for a value that another process, thread or task computes
            before it is computed here as well. ``True`` is five minutes; ``False`` means
            that other processes are not asked.
    """

    stale_ttl: Duration | None
    refresh_ahead: float | None
    jitter: Duration | None
    soft_timeout: Duration | None
    hard_timeout: Duration | None
    lock: bool | Duration


class LoadPolicy(NamedTuple):
    """Rules for one value: its lifetime, stale serving and waiting; durations in seconds.

    Attributes:
        ttl: the lifetime, ``None`` for an entry that never expires, or a function of the value.
        cache_if: returns whether to store a value; ``None`` stores every value.
        stale_ttl: how long an expired entry may be served.
        refresh_ahead: the part of the lifetime after which a hit starts a refresh.
        jitter: given a lifetime, returns the greatest reduction of it.
        soft_timeout: how long a caller waits before a stale value is served.
        hard_timeout: how long a caller waits before `LoadTimeoutError` is raised.
        lock: how long a caller waits for other processes and loops. ``None`` does not consult
            them, and waits for tasks of the same loop without a limit.
    """

    ttl: Lifetime = None
    cache_if: Callable[[Any], object] | None = None
    stale_ttl: float | None = None
    refresh_ahead: float | None = None
    jitter: Callable[[float], float] | None = None
    soft_timeout: float | None = None
    hard_timeout: float | None = None
    lock: float | None = WAIT_TIMEOUT

    @classmethod
    def build(
        cls, ttl: Lifetime, cache_if: Callable[[Any], object] | None, options: LoadPolicy
    ) -> LoadPolicy:
        """Add a lifetime to parsed options.

        Args:
            ttl: the lifetime in seconds, ``None`` for no end, or a function of the value.
            cache_if: returns whether to store a value; ``None`` stores every value.
            options: the result of `parse_options`.

        Raises:
            ConfigurationError: an option needs an entry that expires, and ``ttl`` is ``None``.
        """
        if ttl is None and options is not DEFAULT_POLICY:
            for name in ("stale_ttl", "refresh_ahead", "jitter"):
                if getattr(options, name) is not None:
                    raise ConfigurationError(
                        f"{name}= needs a ttl=: an entry without one never expires"
                    )
        return cls(ttl, cache_if, *options[2:])

    @property
    def serve_stale(self) -> bool:
        """Whether an entry may be served while a newer value is computed."""
        return self.stale_ttl is not None or self.refresh_ahead is not None

    @property
    def may_leave(self) -> bool:
        """Whether a caller may return before the computation that it started is done."""
        return self.soft_timeout is not None or self.hard_timeout is not None


DEFAULT_POLICY = LoadPolicy()
"""The policy of a caller that gives no options."""


class LoadRequest(NamedTuple):
    """A value that somebody wants.

    Attributes:
        key: its store key.
        factory: computes it, if need be.
        terms: on which it is had.
        tags: its tags.
        detached: computes it where its caller does not wait; ``None`` if ``factory`` does.
        call: what to record it as; ``None`` if it has but a key.
    """

    key: str
    factory: Callable[[], Any]
    policy: LoadPolicy
    tags: Sequence[str] = ()
    background_factory: Callable[[], Any] | None = None
    call: Call | None = None


def parse_options(options: LoadOptions) -> LoadPolicy:
    """Read options.

    Raises:
        TypeError: there is no option of that name.
        ConfigurationError: one has a value that cannot work, or not beside another.

    Example:
        >>> parse_options({"stale_ttl": "1h", "soft_timeout": 0.5}).stale_ttl
        3600.0
    """
    if not options:
        return DEFAULT_POLICY
    for name in options:
        if name not in LoadOptions.__annotations__:
            raise TypeError(f"there is no option {name!r}; there are {_NAMES}")
    policy = LoadPolicy(
        stale_ttl=_duration(options, "stale_ttl", _FOR_EVER),
        refresh_ahead=_part("refresh_ahead", options.get("refresh_ahead")),
        jitter=_jitter(options.get("jitter")),
        soft_timeout=_duration(options, "soft_timeout", None),
        hard_timeout=_duration(options, "hard_timeout", None),
        lock=_lock(options.get("lock", True)),
    )
    soft, hard = policy.soft_timeout, policy.hard_timeout
    if soft is not None and policy.stale_ttl is None:
        raise ConfigurationError(
            "soft_timeout= says when to serve a stale value, and there is none without stale_ttl="
        )
    if soft is not None and hard is not None and soft >= hard:
        raise ConfigurationError(
            f"soft_timeout={options.get('soft_timeout')!r} must be shorter than "
            f"hard_timeout={options.get('hard_timeout')!r}, after which nothing is served"
        )
    return policy


_NAMES = ", ".join(LoadOptions.__annotations__)


def _duration(given: LoadOptions, name: str, for_ever: float | None) -> float | None:
    value: Any = given.get(name)
    if value is None:
        return None
    seconds = parse_duration(name, value)
    return for_ever if seconds is None else seconds


def _part(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ConfigurationError(
            f"{name}={value!r}: accepted is a part of the ttl, a number between 0 and 1, or None"
        )
    return float(value)


def _jitter(value: Any) -> Callable[[float], float] | None:
    if isinstance(value, str | timedelta):
        seconds = parse_duration("jitter", value) or 0.0
        return lambda ttl: min(seconds, ttl)
    if value is not None and (not isinstance(value, float) or not 0 < value < 1):
        raise ConfigurationError(
            f"jitter={value!r}: accepted are a part of the ttl, a number between 0 and 1, "
            'a duration such as "30s" or a timedelta, and None'
        )
    return None if value is None else lambda ttl: ttl * value


def _lock(value: Any) -> float | None:
    if isinstance(value, bool):
        return WAIT_TIMEOUT if value else None
    seconds = parse_duration("lock", value)
    return float("inf") if seconds is None else seconds
