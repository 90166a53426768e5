"""Benchmarks: the speed of aiocache_pe as ratios to the speed of other libraries, in one run.

Run them with ``python -m benchmarks``. README.md explains the rows.
"""
