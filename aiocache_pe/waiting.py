"""How a thread waits for a value that it wants."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from aiocache_pe import blocking
from aiocache_pe.runtime.portal import portal
from aiocache_pe.terms import Wanted


def load_wanted(loading: Callable[[Wanted], Coroutine[Any, Any, Any]], wanted: Wanted) -> Any:
    """Load a value in the portal's loop, and compute it in this thread if it is its turn.

    A caller who may go on before the value is computed cannot compute it: then another
    thread does, and if nobody waits any more, to the end all the same.

    Args:
        loading: the loader's method.
        wanted: with factories that block.

    Returns:
        What ``loading`` returned.

    Raises:
        DeadlockError: this is the portal's own thread.
        Whatever the factory or ``loading`` raised.
    """
    factory = wanted.factory
    detached = partial(blocking.in_thread, wanted.detached or factory)
    if wanted.terms.options.may_leave and not portal.has_ended:
        elsewhere = partial(blocking.in_thread, factory)
        try:
            return portal.call(loading, wanted._replace(factory=elsewhere, detached=detached))
        except blocking.LeavingError as error:
            raise (error.__cause__ or error) from None
    return blocking.load(
        lambda compute: loading(wanted._replace(factory=compute, detached=detached)), factory
    )
