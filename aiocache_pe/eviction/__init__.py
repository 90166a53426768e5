"""Eviction policies and the bounded map that applies them, without I/O and without a clock."""
