"""A file of calls: one a line, as JSON, for those who do not want to write a program.

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
from typing import Any

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.store_keys import check_key
from aiocache_pe.sentinels import DEFAULT
from aiocache_pe.ttl import ttl_seconds
from aiocache_pe.warming.calls import KnownValue

_CALL, _ENTRY = {"call", "args", "kwargs"}, {"key", "value", "ttl"}


def read_calls(path: str | os.PathLike[str]) -> list[Any]:
    """The calls in a file, as `aiocache_pe.warm_cache` takes them.

    Args:
        path: of the file; UTF-8, empty lines and those that begin with ``#`` do not count.

    Returns:
        One for each line.

    Raises:
        OSError: the file cannot be read.
        ConfigurationError: a line means nothing; it says which and what is accepted.
    """
    text = Path(path).read_text(encoding="utf-8-sig")
    return list(parse_calls(text, os.fspath(path)))


def parse_calls(text: str, name: str) -> Iterator[Any]:
    """The calls in a text, whose ``name`` errors give."""
    # `splitlines` would also split at U+2028 and others, which JSON has within its texts.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                yield _call(json.loads(line))
            except Exception as error:
                raise ConfigurationError(f"{name}, line {number}: {error}") from error


def _call(said: Any) -> Any:
    if isinstance(said, dict) and "call" in said and said.keys() <= _CALL:
        args, kwargs = said.get("args", []), said.get("kwargs", {})
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise ValueError("args is a list, and kwargs an object")
        return _function(said["call"]), tuple(args), kwargs
    if isinstance(said, dict) and {"key", "value"} <= said.keys() <= _ENTRY:
        ttl = said.get("ttl", DEFAULT)
        if ttl is not DEFAULT:
            ttl_seconds(ttl)
        return KnownValue(check_key(said["key"]), said["value"], ttl)
    raise ValueError(
        'accepted are {"call": "module:function", "args": [...], "kwargs": {...}} '
        'and {"key": ..., "value": ..., "ttl": ...}'
    )


def _function(name: Any) -> Any:
    module, colon, path = str(name).partition(":")
    if not isinstance(name, str) or not (module and colon and path):
        raise ValueError(f'a call is "module:function", not {name!r:.80}')
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found
