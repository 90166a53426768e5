"""Values that stand for "no value", so that a stored ``None`` stays a hit."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal


class Sentinel(Enum):
    """Markers compared with ``is``; being an enum, type checkers narrow on them."""

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
"""There is no such entry."""

PENDING: Final = Sentinel.PENDING
"""It cannot be told without waiting: ask again with ``await``."""

DEFAULT: Final = Sentinel.DEFAULT
"""Nothing was given: what the manager was set up with applies."""
