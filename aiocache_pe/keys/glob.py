"""Glob patterns over keys: ``*`` any text, ``?`` one character, ``[abc]`` one of several."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache


def compile_glob(pattern: str | None) -> Callable[[str], object] | None:
    """Return a case-sensitive function that matches a whole key against a glob (`fnmatch`).

    ``None`` is returned if every key matches, so that the caller need not call a function.
    """
    return None if pattern is None or pattern == "*" else _compile(pattern)


@lru_cache(maxsize=128)
def _compile(pattern: str) -> Callable[[str], object]:
    return re.compile(translate(pattern)).match
