"""Checks of arguments: of functions that must not be async, and of the names of settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Any


def check_plain_function(name: str, function: Callable[..., Any]) -> None:
    """Raise `TypeError` unless an argument is callable and not async.

    The coroutine of an async function would count as true and would never be awaited.
    """
    if not callable(function):
        raise TypeError(
            f"{name} must be a function; got {type(function).__name__}: {function!r:.80}"
        )
    if iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__):
        raise TypeError(
            f"{name} must be a plain function, because its result is needed at once; "
            f"got an async function: {function!r:.80}"
        )


def check_names(owner: str, names: Iterable[str], accepted: Iterable[str]) -> None:
    """Raise `TypeError`, with the accepted names, if a keyword argument has another name.

    The error names the setting that has the meaning of a name in other cache libraries.
    """
    accepted = tuple(accepted)
    for name in names:
        if name not in accepted:
            meant = _NAMES_ELSEWHERE.get(name.lower(), name.lower())
            advice = f"use {meant}=; " if meant in accepted else ""
            if not advice and meant in _NAMES_OF_MANAGER:
                advice = f"use {meant}= of CacheManager; "
            accepts = ", ".join(accepted)
            raise TypeError(f"{owner} has no setting {name!r}; {advice}it accepts {accepts}")


_NAMES_ELSEWHERE = {
    name: ours
    for ours, names in {
        "ttl": "expire expires expiry expiration expire_time lifetime timeout time_to_live "
        "ttl_seconds default_ttl default_timeout max_age ex".split(),
        "key": "key_builder key_func key_function key_fn key_maker make_key cache_key "
        "make_name".split(),
        "key_prefix": "prefix".split(),
        "ignore": "exclude exclude_args ignore_args noself skip_args".split(),
        "max_entries": "maxsize max_size capacity max_items maxlen cull_limit threshold".split(),
        "max_bytes": "size_limit max_memory maxmemory".split(),
        "cache_if": "condition unless cache_condition skip_cache_func skip_if predicate".split(),
        "cache_none": "cache_null cache_nones ignore_none".split(),
        "tags": "tag".split(),
        "directory": "cache_dir cache_directory dir folder path".split(),
        "redis_url": "url host endpoint redis uri".split(),
        "stale_ttl": "stale_while_revalidate grace".split(),
        "refresh_ahead": "early_ttl early_recompute early_expire".split(),
        "hard_timeout": "call_timeout".split(),
        "backend": "store storage cls".split(),
    }.items()
    for name in names
}
"""Names of settings in other cache libraries, and the settings of this one."""
_NAMES_OF_MANAGER = ("max_entries", "max_bytes", "directory", "redis_url", "fallback", "eviction")
