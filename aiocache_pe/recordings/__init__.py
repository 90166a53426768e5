"""Recorded calls, for tests that need no network: a directory of files to review.

A file holds one call: what was asked beside what was answered. `directory` is what calls
go to, `files` the form of a file, `secrets` what never gets into one, `unrecorded` the
error for a call that is in none.
"""
