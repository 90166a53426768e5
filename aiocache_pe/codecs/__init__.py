"""Conversion of values to bytes and back, exactly; see `aiocache_pe.codecs.pipeline`.

The serializers are plain JSON, raw bytes, numpy arrays, JSON with tags, and signed pickle, in
this order of preference. This package imports none of them, so a program with values of plain
JSON imports msgspec only.
"""
