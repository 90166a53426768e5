"""Values to bytes and back, exactly: see `aiocache_pe.codecs.pipeline`.

What is written is, in this order of preference, plain JSON, raw bytes, a numpy array,
JSON with tags, and signed pickle. Nothing is imported here, so that a program whose
values are plain JSON pays for msgspec alone.
"""
