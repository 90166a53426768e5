"""Constants that are read through two modules."""

from __future__ import annotations

SUFFIX = "please. "
