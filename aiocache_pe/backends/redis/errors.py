"""The client's errors in this library's words, without secrets."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from redis import exceptions as redis_errors

from aiocache_pe.exceptions import BackendError, StoreUnavailableError

AWAY = (  # in the client's words
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ClusterDownError,
    redis_errors.RedisClusterException,  # no node can be reached, or a slot has none
    OSError,  # builtin TimeoutError is one
)
_ANY = (redis_errors.RedisError, *AWAY)


def describe_error(error: BaseException, place: str) -> BackendError:
    """An error of the client as one of ours.

    Args:
        error: what the client raised. Its text may hold a part of a command, so only the
            first line is kept, and not too much of it.
        place: the server, as `Address.shown` tells it.
    """
    text = str(error).partition("\n")[0][:200] or type(error).__name__
    made = (StoreUnavailableError if isinstance(error, AWAY) else BackendError)(f"{place}: {text}")
    made.__cause__ = error
    return made


@contextmanager
def translate_errors(place: str) -> Generator[None]:
    """Raise the client's errors as `BackendError`, or `StoreUnavailableError`."""
    try:
        yield
    except _ANY as error:
        raise describe_error(error, place) from error
    except RuntimeError as error:  # the client could not set up its connection
        if "closed" in str(error) and "loop" in str(error):
            raise StoreUnavailableError(f"{place}: its client's event loop has ended") from error
        raise
