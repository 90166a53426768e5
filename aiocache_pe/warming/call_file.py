"""Call files: calls to warm a cache with, one per line, as JSON.

::

    {"call": "shop.search:find", "args": ["shoes"], "kwargs": {"limit": 10}}
    {"key": "greeting", "value": "hello", "ttl": "1h"}
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.store_keys import check_key
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL, parse_ttl

_CALL_FIELDS, _ENTRY_FIELDS = {"call", "args", "kwargs"}, {"key", "value", "ttl"}


class KnownValue(NamedTuple):
    """An entry with a value that need not be computed, and a lifetime of its own."""

    key: str
    value: Any
    ttl: TTL | Default = DEFAULT


def read_calls(path: str | os.PathLike[str]) -> list[Any]:
    """Return the calls of a call file (UTF-8), in a form that `aiocache_pe.warm_cache` accepts.

    Empty lines, and lines that begin with ``#``, are ignored.

    Raises:
        ConfigurationError: a line is not valid; the error has its number and the accepted forms.
    """
    text = Path(path).read_text(encoding="utf-8-sig")
    return list(parse_calls(text, os.fspath(path)))


def parse_calls(text: str, name: str) -> Iterator[Any]:
    """Yield the calls of a text, as `read_calls` does; errors contain its ``name``."""
    # `splitlines` also splits at U+2028 and others, which JSON allows inside its strings.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                yield _parse_line(json.loads(line))
            except Exception as error:
                raise ConfigurationError(f"{name}, line {number}: {error}") from error


def _parse_line(line: Any) -> Any:
    if isinstance(line, dict) and "call" in line and line.keys() <= _CALL_FIELDS:
        args, kwargs = line.get("args", []), line.get("kwargs", {})
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise ValueError("args must be a list, and kwargs an object")
        return _import_function(line["call"]), tuple(args), kwargs
    if isinstance(line, dict) and {"key", "value"} <= line.keys() <= _ENTRY_FIELDS:
        ttl = line.get("ttl", DEFAULT)
        if ttl is not DEFAULT:
            parse_ttl(ttl)
        return KnownValue(check_key(line["key"]), line["value"], ttl)
    raise ValueError(
        'a line must be {"call": "module:function", "args": [...], "kwargs": {...}} '
        'or {"key": ..., "value": ..., "ttl": ...}'
    )


def _import_function(name: Any) -> Any:
    module, colon, path = str(name).partition(":")
    if not isinstance(name, str) or not (module and colon and path):
        raise ValueError(f'call must be "module:function"; got {name!r:.80}')
    function: Any = importlib.import_module(module)
    for part in path.split("."):
        function = getattr(function, part)
    return function
