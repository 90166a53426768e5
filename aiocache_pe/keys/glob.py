"""Patterns over keys: ``*`` any text, ``?`` one character, ``[abc]`` one of several."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache


@lru_cache(maxsize=128)
def _compiled(pattern: str) -> Callable[[str], object]:
    return re.compile(translate(pattern)).match


def compile_glob(pattern: str | None) -> Callable[[str], object] | None:
    """A function that tells whether a key matches, upper and lower case being different.

    Args:
        pattern: a glob (`fnmatch`); ``None`` and ``"*"`` match all.

    Returns:
        The function, or ``None`` when everything matches, so that nothing need be asked.

    Example:
        >>> bool(matcher("user:*")("user:7"))
        True
    """
    return None if pattern is None or pattern == "*" else _compiled(pattern)
