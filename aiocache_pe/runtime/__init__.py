"""Event loops, threads and forks, independent of caching."""
