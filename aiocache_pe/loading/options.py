"""Options of a load: lifetime, stale serving and waiting, checked and in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypedDict

from aiocache_pe._validation import check_names
from aiocache_pe.context import Call
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.loading.remembered_errors import ErrorLifetimes, parse_error_lifetimes
from aiocache_pe.runtime.single_flight import WAIT_TIMEOUT
from aiocache_pe.ttl import TTL, Duration, parse_duration

_UNLIMITED_STALE_SECONDS = 100 * 365 * 86400.0  # for infinity, which a record in JSON cannot hold
Lifetime = float | None | Callable[[Any], TTL]


class LoadOptions(TypedDict, total=False):
    """Further options of `CacheManager.get_or_set` and `cached`.

    Attributes:
        stale_ttl: how long an entry may be served after it expired, while a newer value is
            computed in the background; ``None`` never serves an expired entry.
        refresh_ahead: the part of the lifetime, such as 0.8, after which a hit starts a refresh
            in the background; ``None`` starts no refresh.
        jitter: the greatest random reduction of the lifetime: a part of it, such as 0.1, or a
            duration, such as ``"30s"``.
        soft_timeout: how long a caller waits for a value before a stale one is served.
        hard_timeout: how long a caller waits for a value before `LoadTimeoutError` is raised.
        lock: how long a caller waits for a value that another process, thread or task computes,
            before it computes the value as well. ``True`` is five minutes. ``False`` does not
            consult other processes.
        error_ttl: how long to remember exceptions of the factory, for each class:
            ``{LookupError: "1m"}``. Later callers of this process get a copy of the exception.
    """

    stale_ttl: Duration | None
    refresh_ahead: float | None
    jitter: Duration | None
    soft_timeout: Duration | None
    hard_timeout: Duration | None
    lock: bool | Duration
    error_ttl: Mapping[type[Exception], Duration] | None


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
        on_unstorable: called with a value's error if no codec can hold the value; returns the name
            of the function that computed it, for the log.
        error_ttl: how many seconds to remember exceptions of some classes.
        keeps_expired: whether an expired entry stays for as long as its lifetime again, without
            being served.
    """

    ttl: Lifetime = None
    cache_if: Callable[[Any], object] | None = None
    stale_ttl: float | None = None
    refresh_ahead: float | None = None
    jitter: Callable[[float], float] | None = None
    soft_timeout: float | None = None
    hard_timeout: float | None = None
    lock: float | None = WAIT_TIMEOUT
    on_unstorable: Callable[[Exception], str] | None = None
    error_ttl: ErrorLifetimes | None = None
    keeps_expired: bool = False

    @classmethod
    def build(
        cls, ttl: Lifetime, cache_if: Callable[[Any], object] | None, options: LoadPolicy
    ) -> LoadPolicy:
        """Add a lifetime and a condition to the result of `parse_options`.

        Raises:
            ConfigurationError: an option needs an entry that expires, and ``ttl`` is ``None``.
        """
        if ttl is None and options is not DEFAULT_POLICY:
            for name in ("stale_ttl", "refresh_ahead", "jitter"):
                if getattr(options, name) is not None:
                    raise ConfigurationError(
                        f"{name} needs a ttl: an entry without one never expires"
                    )
        return cls(ttl, cache_if, *options[2:])

    @property
    def serve_stale(self) -> bool:
        """Return whether an entry may be served while a newer value is computed."""
        return self.stale_ttl is not None or self.refresh_ahead is not None

    @property
    def may_leave(self) -> bool:
        """Return whether a caller may return before the computation that it started is done."""
        return self.soft_timeout is not None or self.hard_timeout is not None


DEFAULT_POLICY = LoadPolicy()
"""The policy of a caller that gives no options."""


class LoadRequest(NamedTuple):
    """A request for one value.

    Attributes:
        key: the store key.
        factory: computes the value; it may have a parameter ``previous``.
        policy: the rules.
        tags: the tags of the entry.
        background_factory: computes the value while its caller does not wait; ``None`` if
            ``factory`` does.
        call: the call to record; ``None`` for a request that has only a key.
        max_age: the greatest age of an entry that may be served, in seconds; ``None`` for any.
    """

    key: str
    factory: Callable[..., Any]
    policy: LoadPolicy
    tags: Sequence[str] = ()
    background_factory: Callable[..., Any] | None = None
    call: Call | None = None
    max_age: float | None = None


def parse_options(options: LoadOptions) -> LoadPolicy:
    """Return the policy of options; it has no lifetime yet.

    Raises:
        TypeError: an option is unknown.
        ConfigurationError: a value is invalid, or two options contradict each other.

    Example:
        >>> parse_options({"stale_ttl": "1h", "soft_timeout": 0.5}).stale_ttl
        3600.0
    """
    if not options:
        return DEFAULT_POLICY
    check_names("get_or_set", options, ("ttl", "tags", *LoadOptions.__annotations__))
    policy = LoadPolicy(
        stale_ttl=_parse_duration(options, "stale_ttl", _UNLIMITED_STALE_SECONDS),
        refresh_ahead=_parse_refresh_ahead(options.get("refresh_ahead")),
        jitter=_parse_jitter(options.get("jitter")),
        soft_timeout=_parse_duration(options, "soft_timeout", None),
        hard_timeout=_parse_duration(options, "hard_timeout", None),
        lock=parse_wait("lock", options.get("lock", True)),
        error_ttl=parse_error_lifetimes(options.get("error_ttl")),
    )
    soft, hard = policy.soft_timeout, policy.hard_timeout
    if soft is not None and policy.stale_ttl is None:
        raise ConfigurationError(
            "soft_timeout needs a stale_ttl: without one there is no stale value to serve"
        )
    if soft is not None and hard is not None and soft >= hard:
        raise ConfigurationError(
            f"soft_timeout must be shorter than hard_timeout={options.get('hard_timeout')!r}; "
            f"got {options.get('soft_timeout')!r}"
        )
    return policy


def _parse_duration(options: LoadOptions, name: str, unlimited: float | None) -> float | None:
    value: Any = options.get(name)
    if value is None:
        return None
    seconds = parse_duration(name, value)
    return unlimited if seconds is None else seconds


def _parse_refresh_ahead(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ConfigurationError(
            "refresh_ahead must be a part of the ttl, a number between 0 and 1, or None; "
            f"got {type(value).__name__}: {value!r:.80}"
        )
    return float(value)


def _parse_jitter(value: Any) -> Callable[[float], float] | None:
    if value is None:
        return None
    if isinstance(value, str | timedelta):
        seconds = parse_duration("jitter", value) or 0.0
        return lambda ttl: min(seconds, ttl)
    if not isinstance(value, float) or not 0 < value < 1:
        raise ConfigurationError(
            "jitter must be a part of the ttl, a float between 0 and 1, "
            'or a duration such as "30s" or a timedelta, or None; '
            f"got {type(value).__name__}: {value!r:.80}"
        )
    return lambda ttl: ttl * value


def parse_wait(name: str, value: Any) -> float | None:
    """Return how long a setting lets a caller wait, in seconds; ``None`` for not at all."""
    if isinstance(value, bool):
        return WAIT_TIMEOUT if value else None
    seconds = parse_duration(name, value)
    return float("inf") if seconds is None else seconds
