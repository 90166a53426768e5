"""Records of a later release that a change meets.

During a rolling deployment, processes of two releases share a store. A change such as ``set`` does
not depend on the present record. It must take effect, because a later read must not return the old
value. So it replaces the record, and the log says so, once for each namespace.
"""

from __future__ import annotations

import logging

from aiocache_pe.exceptions import CorruptRecordError, NewerRecordError
from aiocache_pe.record import unpack_head

logger = logging.getLogger("aiocache_pe")
reported: set[tuple[str, str]] = set()
"""Names of the stores and areas for which a replaced record was logged."""


def find_newer(start: bytes, key: str = "") -> NewerRecordError | None:
    """Return the reason why this release cannot read a record; ``None`` if it may be replaced.

    Args:
        start: the beginning of the record, with its head.
        key: the store key; empty to accept any.
    """
    try:
        unpack_head(start.partition(b"\n")[0], key=key)
    except NewerRecordError as error:
        return error
    except CorruptRecordError:
        pass
    return None


def report_replaced(store: str, key: str, error: NewerRecordError) -> None:
    """Log that a change replaces a record of a later release.

    Args:
        store: the name of the store.
        key: the store key.
        error: the reason why this release cannot read the record.
    """
    area = key.partition(":")[0]
    if (store, area) not in reported:
        reported.add((store, area))
        logger.warning(
            "store %s of namespace %r: a set replaces a record of a later release (%s); further "
            "records are replaced without a line in the log",
            *(store, area, error.reason),
        )
