"""Decorated generators: recording, replay and sharing of streams."""
