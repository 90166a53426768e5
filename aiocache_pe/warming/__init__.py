"""Warming: filling a cache ahead of requests."""
