"""Speed as ratios: aiocache_pe beside what a user would pick instead, in one run.

Run it with ``python -m benchmarks``; README.md says what every row means.
"""
