"""Other libraries, cached: one file for each, imported only by who uses it."""
