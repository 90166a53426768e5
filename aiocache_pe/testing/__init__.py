"""For tests: of code that uses a cache, and of stores that third parties write."""
