"""Protocols, limits and the common error of the serializers."""

from __future__ import annotations

from typing import Any, Final, Protocol

MAX_DEPTH: Final = 100
"""Greatest depth of containers within containers, which also ends a value that contains itself.
It leaves room for the levels that tags add, and for a reader that is deep in its own calls."""

MAX_CONTAINERS: Final = 4_000_000
"""Greatest number of containers in one value. Lists that share their parts can be small in memory
and astronomically large as text."""

PATH_CLASSES: Final = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
"""Names of the classes of paths in ``pathlib``."""


class NotExactError(Exception):
    """A serializer cannot restore the value exactly; the message names the part that prevents it.

    It never leaves the codecs: the pipeline tries the next serializer.
    """


class Serializer(Protocol):
    """Exact conversion of some values to bytes and back.

    Attributes:
        name: name of the codec in records; it must never change its meaning.
    """

    name: str

    def encode(self, value: Any) -> bytes | None:
        """Return the bytes of a value, or ``None`` if `decode` could not restore it exactly."""

    def decode(self, payload: bytes) -> Any:
        """Return the value of a payload.

        Raises:
            CorruptRecordError: `encode` cannot have written the payload.
        """
