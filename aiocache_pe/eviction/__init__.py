"""Eviction policies, one file each, without I/O and without a clock."""
