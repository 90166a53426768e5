"""Functions decorated with ``cached_batch``."""
