"""The decorators ``cached`` and ``cached_batch``."""
