"""What the serializers of this room agree on: how deep, how much, and how to refuse."""

from __future__ import annotations

MAX_DEPTH = 100
"""Containers within containers. A value that holds itself ends here too. It leaves room
for the levels that tags add, and for a reader that is already deep in its own calls."""

MAX_NODES = 4_000_000
"""Containers in one value. Lists that share their parts can be small in memory and
astronomical when written out; this is where that ends."""


class NotExact(Exception):  # noqa: N818 - it is an answer within this room, not an error
    """The value cannot be given back exactly this way; the message says what is in the way.

    It never leaves the codecs: the pipeline tries the next serializer, and quotes the
    reason when none is left.
    """
