"""Generations of keys in one process: they show whether a change came after a computation began.

A computation takes the present generation of its key when it begins. A change of the key raises all
generations that are in use. So a raised generation belongs to a computation that may have read an
outdated source: its result is not stored, and later callers do not join it.

A generation is referenced weakly, and it disappears with its computation. No method takes a lock,
because a signal handler or a finalizer may make a change at any moment: appending to a list,
removing from it and copying it are atomic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from weakref import ref

_BUCKETS = 256


class Generation:
    """The generation that a computation took.

    Attributes:
        key: the store key.
        tags: the tags of the entry.
        is_raised: whether the key has changed, or may have, since the computation began.
    """

    __slots__ = ("__weakref__", "is_raised", "key", "tags")

    def __init__(self, key: str, tags: Sequence[str]) -> None:
        self.key = key
        self.tags = tags
        self.is_raised = False


class Generations:
    """The generations of the computations in progress.

    Example:
        >>> generations = Generations()
        >>> generation = generations.begin("default:k")
        >>> generations.raise_keys(["default:k"])
        >>> generation.is_raised, generations.begin("default:k").is_raised
        (True, False)
    """

    def __init__(self) -> None:
        self._buckets: list[list[ref[Generation]]] = [[] for _ in range(_BUCKETS)]

    def begin(self, key: str, tags: Sequence[str] = ()) -> Generation:
        """Return the present generation of a key, for a computation that begins now."""
        generation = Generation(key, tags)
        bucket = self._buckets[hash(key) % _BUCKETS]
        bucket.append(ref(generation, bucket.remove))
        return generation

    def raise_keys(self, keys: Sequence[str]) -> None:
        """Raise the generations of some keys, which are changed."""
        if not any(self._buckets):
            return
        if len(keys) > _BUCKETS:
            changed = frozenset(keys)
            self._raise_all(lambda generation: generation.key in changed)
            return
        for key in keys:
            for generation in _list_present(self._buckets[hash(key) % _BUCKETS]):
                if generation.key == key:
                    generation.is_raised = True

    def raise_matching(self, prefix: str, matches: Callable[[str], object] | None) -> None:
        """Raise the generations of the keys under a prefix.

        Args:
            prefix: an area with its colon.
            matches: selects keys without the prefix; ``None`` for all.
        """
        start = len(prefix)
        self._raise_all(
            lambda generation: (
                generation.key.startswith(prefix)
                and (matches is None or matches(generation.key[start:]))
            )
        )

    def raise_tagged(self, prefix: str, tags: Iterable[str]) -> None:
        """Raise the generations of the keys under a prefix that have one of the tags."""
        changed = frozenset(tags)
        self._raise_all(
            lambda generation: (
                generation.key.startswith(prefix) and not changed.isdisjoint(generation.tags)
            )
        )

    def _raise_all(self, is_changed: Callable[[Generation], object]) -> None:
        for bucket in self._buckets:
            for generation in _list_present(bucket):
                if is_changed(generation):
                    generation.is_raised = True


def _list_present(bucket: list[ref[Generation]]) -> list[Generation]:
    if not bucket:
        return []
    return [generation for each in bucket.copy() if (generation := each()) is not None]
