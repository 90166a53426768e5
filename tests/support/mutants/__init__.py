"""Mutation testing of the modules that must not be wrong."""
