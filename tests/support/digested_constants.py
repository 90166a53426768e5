"""Constants that functions of another module read."""

from __future__ import annotations

from tests.support import digested_nested as nested

__all__ = ["PROMPT", "nested"]

PROMPT = "In short: "
