"""Warnings about closures that share results although they hold different objects.

A client has no identity: a new one may replace it, or serve another account. So the results of two
closures over two clients are shared, as those of one function are, and this is logged once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.keys.constant_reads import Read
from aiocache_pe.keys.qualified_names import get_qualified_name

logger = logging.getLogger("aiocache_pe")
_MAX_VARIABLES = 1024  # of one namespace
_held = WeakKeyDictionary[Namespace, dict[tuple[str, str], "ReferenceType[Any] | None"]]()


def warn_of_shared_results(
    namespace: Namespace, function: Any, start: str, reads: Iterable[Read]
) -> None:
    """Log a warning if another closure holds another object and has the same keys.

    Args:
        namespace: the namespace of the entries.
        function: the function of the closure.
        start: the beginning of its keys.
        reads: the constants in the keys.
    """
    held = _held.setdefault(namespace, {})
    for read in reads:
        place = start, read.name
        if not read.is_opaque or held.get(place, read) is None:
            continue
        with suppress(TypeError):  # a class without weak references
            reference = held.get(place)
            known = None if reference is None else reference()
            if known is not None and known is not read.value:
                held[place] = None
                logger.warning(
                    "namespace %r: closures of the function %s share results, but their variable "
                    "%s holds different objects of the class %s, which have no identity; pass the "
                    "object as an argument, give its class __cache_key__, or give each closure "
                    "its own version= or namespace=",
                    namespace.name,
                    *(get_qualified_name(function), read.name, type(read.value).__qualname__),
                )
            elif known is None:
                if len(held) >= _MAX_VARIABLES:
                    held.clear()
                held[place] = ref(read.value)
