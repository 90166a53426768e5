"""Metrics, spans and log lines of caches: subscribers to events, one module for each system."""
