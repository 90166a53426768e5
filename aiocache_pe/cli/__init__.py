"""Command line: inspects, fills and cleans a cache from a shell or a script."""
