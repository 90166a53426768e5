"""Recorded calls for tests without a network: a directory of files to review and commit.

`recorder` has the block that records or replays calls, `files` the format of a file,
`redaction` the rules for secrets, and `missing_call` the error for a call without a recording.
"""
