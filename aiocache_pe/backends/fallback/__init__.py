"""Fallback store: a second store serves while the first one is unavailable."""
