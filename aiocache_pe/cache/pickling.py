"""Copies and pickles of a manager."""

from __future__ import annotations

from typing import Any, Self

from aiocache_pe.loading.loader import Loader
from aiocache_pe.loading.shared_state import SharedState
from aiocache_pe.sentinels import DEFAULT


class PicklableManager:
    """Base of a manager: a copy is the same cache, and a pickle restores one over the same store.

    `multiprocessing` pickles the objects that it sends to processes that it did not fork. A pickle
    holds only the settings, as they were given. A relative directory is therefore relative to the
    other process, and the pickle contains a secret, or the password of a URL.

    Example:
        >>> import copy
        >>> copy.deepcopy({"the": cache})["the"] is cache
        True
    """

    _shared: SharedState
    loader: Loader

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        settings, backend = self._shared.settings, self._shared.engine.backend
        if not isinstance(settings.get("backend"), str | None) or backend.name == "memory":
            raise TypeError(
                "backend of a pickled cache must be the name or URL of a shared store; got "
                f"{backend!r:.80}, which exists in this process only"
            )
        view = {
            "namespace": self.loader.namespace.name,
            "ttl": self.loader.resolve_ttl(DEFAULT),
        }
        return {**settings, **view}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(type(self)(**state).__dict__)
