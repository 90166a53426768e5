"""Sentinels for "no value", so that a stored ``None`` is a hit."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal


class Sentinel(Enum):
    """The sentinels, compared with ``is``; an enum, so that type checkers narrow on them."""

    MISSING = "missing"
    PENDING = "pending"
    DEFAULT = "default"

    def __repr__(self) -> str:
        return f"<{self.value}>"

    def __bool__(self) -> bool:
        return False


Missing = Literal[Sentinel.MISSING]
Pending = Literal[Sentinel.PENDING]
Default = Literal[Sentinel.DEFAULT]

MISSING: Final = Sentinel.MISSING
"""Result of a read that found no entry."""

PENDING: Final = Sentinel.PENDING
"""Result of a peek that would have to wait; await the corresponding ``get`` instead."""

DEFAULT: Final = Sentinel.DEFAULT
"""Argument that was not passed, so the manager's setting applies."""
