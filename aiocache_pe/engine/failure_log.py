"""Log lines about the failures of a namespace, each kind once.

A store that fails, fails at many calls. A log line for each would hide all others, and would fill
the rest of a full disk. So the first failure of each kind is logged, and the counters have the
others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiocache_pe.exceptions import (
    AccessDeniedError,
    ChangedClassError,
    CorruptRecordError,
    NewerRecordError,
)

logger = logging.getLogger("aiocache_pe")
_RECOVERY_SECONDS = 30.0  # without a failure; only then is a success logged as a recovery
_CONFIGURATION = "configuration"  # the topic of failures that only another configuration mends
_MAX_REASONS = 100  # that are logged, each once; more reasons are not logged


class FailureLog:
    """The log lines about one namespace.

    Args:
        store: the name of the store.
        namespace: the name of the namespace.
        monotonic: the clock's monotonic time, in seconds.
    """

    def __init__(self, store: str, namespace: str, monotonic: Callable[[], float]) -> None:
        self._names = store, namespace
        self._monotonic = monotonic
        self._failed_at: dict[str, float] = {}  # the last failure of each operation
        self._reasons = set[str]()

    def report_failure(self, verb: str, error: Exception) -> None:
        """Log the first failure of an operation; damaged records are logged one by one.

        On a full disk, small writes succeed and large writes fail in turn. So an operation has
        recovered only after some time without a failure.

        Args:
            verb: the name of the operation.
            error: the failure.
        """
        if isinstance(error, CorruptRecordError):
            logger.warning(
                "store %s of namespace %r: a damaged record is treated as a miss: %s",
                *(*self._names, error),
            )
        elif isinstance(error, AccessDeniedError):
            if self._is_new(f"right {error.right}", is_bounded=False):
                logger.error(
                    "store %s of namespace %r lacks the right %s (%s: %s); further refusals are "
                    "counted, not logged",
                    *(*self._names, error.right or "(unknown)", verb, error),
                )
        elif isinstance(error, NewerRecordError):
            if self._is_new("later release", is_bounded=False):
                logger.warning(
                    "store %s of namespace %r holds records of a later release, which are treated "
                    "as misses and left alone (%s: %s); further ones are counted, not logged",
                    *(*self._names, verb, error),
                )
        else:
            self._report_first(verb, error)

    def _report_first(self, verb: str, error: Exception) -> None:
        is_misconfigured = getattr(error, "is_misconfigured", False)
        topic = _CONFIGURATION if is_misconfigured else verb
        is_logged = topic in self._failed_at
        self._failed_at[topic] = self._monotonic()
        if not is_logged:
            logger.log(
                logging.ERROR if is_misconfigured else logging.WARNING,
                "store %s of namespace %r fails (%s: %s: %s)%s; calls continue without it, and "
                "further failures are counted, not logged",
                *(*self._names, verb, type(error).__name__, error),
                "; check the URL and the credentials" if is_misconfigured else "",
            )

    def note_success(self, verb: str) -> None:
        """Log that an operation works again, after some time without a failure."""
        for topic in (verb, _CONFIGURATION) if self._failed_at else ():
            failed_at = self._failed_at.get(topic)
            if failed_at is not None and self._monotonic() - failed_at >= _RECOVERY_SECONDS:
                self._failed_at.pop(topic, None)
                logger.warning("store %s of namespace %r works again (%s)", *self._names, topic)

    def report_unstorable(self, key: str, source: str, error: Exception) -> None:
        """Log that no codec can hold a value, once for each function or reason.

        Args:
            key: the key of the value.
            source: the description of the function that computed it; empty without one.
            error: it names the type and the remedies.
        """
        if self._is_new(f"unstorable: {source or error}"):
            store, namespace = self._names
            logger.warning(
                "result of %s is not stored in the %s store, namespace %r: %s; the caller gets "
                "the result, and further ones are counted as unstorable, not logged",
                *(source or f"key {key!r}", store, namespace, error),
            )

    def report_failed_option(self, key: str, error: Exception) -> None:
        """Log that a result is not stored, because a function of its options failed."""
        reason = f"{type(error).__name__}: {error}"
        if self._is_new(reason):
            logger.warning(
                "result of key %r in namespace %r is not stored, because a function given as ttl= "
                "or cache_if= failed (%s); the caller gets the result, and further failures of "
                "this kind are counted, not logged",
                *(key, self._names[1], reason),
            )

    def report_changed_class(self, error: ChangedClassError) -> None:
        """Log that results of an older version of a class are computed again."""
        if self._is_new(error.reason):
            logger.info(
                "store %s of namespace %r: %s; such entries are misses",
                *(*self._names, error.reason),
            )

    def _is_new(self, reason: str, *, is_bounded: bool = True) -> bool:
        """Note a reason, which may be one of many; return whether it is logged now."""
        if reason in self._reasons or (is_bounded and len(self._reasons) >= _MAX_REASONS):
            return False
        self._reasons.add(reason)
        return True
