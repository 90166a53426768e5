"""Filling a cache ahead of requests."""
