"""Pickle, for what nothing else can hold.

Reading a pickle runs whatever it says, so this serializer is never used alone: the
pipeline hands it only bytes whose signature was verified.
"""

from __future__ import annotations

from typing import Any

from aiocache_pe.codecs.likeness import difference
from aiocache_pe.exceptions import CorruptRecordError, SerializationError

_PROTOCOL = 5


class Pickled:
    """The serializer of everything that pickle gives back."""

    name = "pickle"

    def encode(self, value: Any) -> bytes:
        """The value as pickle.

        Args:
            value: anything.

        Returns:
            Bytes that were read back once, here, so that what a class cannot restore is
            refused now instead of being a damaged entry at every read.

        Raises:
            SerializationError: it cannot be pickled, or not be restored as it was.
        """
        import pickle  # noqa: PLC0415 - few values need it, so few programs pay for it

        kind = type(value)
        try:
            payload = pickle.dumps(value, _PROTOCOL)
            copy = pickle.loads(payload)
            changed = None if pickle.dumps(copy, _PROTOCOL) == payload else difference(value, copy)
        except Exception as error:  # classes raise what they like when they are pickled
            raise SerializationError(
                f"pickle cannot hold this {kind.__qualname__} either: "
                f"{type(error).__name__}: {error}"
            ) from error
        if type(copy) is not kind:
            raise SerializationError(
                f"pickle would turn this {kind.__qualname__} into a {type(copy).__qualname__}"
            )
        if changed is not None:
            raise SerializationError(
                f"pickle would give this {kind.__qualname__} back with another "
                f"{changed.__qualname__} in it"
            )
        return payload

    def decode(self, payload: bytes) -> Any:
        """The value; only for bytes whose signature was verified.

        Raises:
            CorruptRecordError: a class it needs is gone or cannot restore itself.
        """
        import pickle  # noqa: PLC0415 - as above

        try:
            return pickle.loads(payload)
        except Exception as error:  # as above
            raise CorruptRecordError(
                f"pickle cannot be restored: {type(error).__name__}: {error}"
            ) from error
