"""What becomes of a manager that is copied, or sent to another process."""

from __future__ import annotations

from typing import Any, Self

from aiocache_pe.loading.loader import Loader
from aiocache_pe.loading.shared_state import SharedState
from aiocache_pe.sentinels import DEFAULT


class PicklableManager:
    """A manager's base: a copy is the same cache, a pickle makes one over the same store.

    `multiprocessing` pickles what it sends to processes that it did not fork. The settings
    are all that goes along, as they were given: a relative directory is that of the other
    process, and a secret, or the password in a URL, is in the pickle.

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
                f"a cache over {backend!r:.80} cannot be pickled: its entries are of this process; "
                "give backend the name or URL of another store"
            )
        own = {
            "namespace": self.loader.namespace.namespace,
            "ttl": self.loader.resolve_ttl(DEFAULT),
        }
        return {**settings, **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(type(self)(**state).__dict__)
