"""Failures that are logged once for a namespace: missing rights and records of a later release."""

from __future__ import annotations

import logging

from aiocache_pe.exceptions import AccessDeniedError, NewerRecordError

logger = logging.getLogger("aiocache_pe")


class SingleReports:
    """The reports of one namespace.

    Args:
        store: the name of the store.
        namespace: the name of the namespace.
    """

    def __init__(self, store: str, namespace: str) -> None:
        self._names = store, namespace
        self._reported = set[str]()

    def report(self, verb: str, error: Exception) -> bool:
        """Log a failure of one of these kinds once; return whether it is one.

        Args:
            verb: the name of the operation.
            error: the failure.
        """
        if isinstance(error, AccessDeniedError):
            if error.right not in self._reported:
                self._reported.add(error.right)
                logger.error(
                    "store %s of namespace %r lacks the right %s (%s: %s); further refusals are "
                    "counted, not logged",
                    *(*self._names, error.right or "(unknown)", verb, error),
                )
            return True
        if not isinstance(error, NewerRecordError):
            return False
        if "later release" not in self._reported:
            self._reported.add("later release")
            logger.warning(
                "store %s of namespace %r holds records of a later release, which are treated "
                "as misses and left alone (%s: %s); further ones are counted, not logged",
                *(*self._names, verb, error),
            )
        return True
