"""Translation of the client's errors into this library's, without secrets."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from socket import gaierror

from redis import exceptions as redis_errors

from aiocache_pe.backends.redis.rights import find_right
from aiocache_pe.exceptions import AccessDeniedError, BackendError, StoreUnavailableError

CONNECTION_ERRORS = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ClusterDownError,  # includes MASTERDOWN
    redis_errors.ReadOnlyError,
    redis_errors.RedisClusterException,  # no node can be reached, or a slot has none
    OSError,  # includes the builtin TimeoutError
)
"""Errors that mean that the server is away, or is no primary that accepts changes."""

_MAX_TEXT = 500  # characters of a reason, which may name several Sentinels

_UNAVAILABLE = re.compile(r"(BUSY|MISCONF|NOREPLICAS) |.*\W-(MISCONF|NOREPLICAS|READONLY) ")
"""Refusals of every change, for which redis-py has no classes.

A server before version 7 puts words of its own before the refusal of a command in a script.
"""

_DENIALS = ("NOPERM", "The user executing the script can't", "No permissions to access")
_DENIED_COMMAND = re.compile(r"'([^']+)' command")

CLIENT_ERRORS = (redis_errors.RedisError, *CONNECTION_ERRORS)
"""Errors of a client at any command."""


def is_read_only(error: object) -> bool:
    """Return whether an answer is the refusal of a change by a replica, also inside a script."""
    is_in_script = isinstance(error, redis_errors.ResponseError) and "-READONLY " in str(error)
    return is_in_script or isinstance(error, redis_errors.ReadOnlyError)


def translate_error(error: BaseException, server: str) -> BackendError:
    """Return the `BackendError` or `StoreUnavailableError` for an error of the client.

    Args:
        error: the client's error. Its text may contain a part of a command, so the result
            contains only the first line, shortened.
        server: the server's name, as in `Address.safe_url`.
    """
    text = str(error).partition("\n")[0][:_MAX_TEXT] or type(error).__name__
    if is_denied(error):
        return make_denied_error(text, server, error)
    is_away = isinstance(error, CONNECTION_ERRORS) or _UNAVAILABLE.match(text) is not None
    error_class = StoreUnavailableError if is_away else BackendError
    translated = error_class(f"{server}: {text}")
    translated.__cause__ = error
    if isinstance(translated, StoreUnavailableError):
        is_refused = isinstance(error, redis_errors.AuthenticationError)
        translated.is_misconfigured = is_refused or isinstance(error.__context__, gaierror)
    return translated


def is_denied(error: BaseException) -> bool:
    """Return whether the server refuses a command because the user lacks a right."""
    is_answer = isinstance(error, redis_errors.ResponseError)
    text = str(error)
    return isinstance(error, redis_errors.NoPermissionError) or (
        is_answer and any(denial in text for denial in _DENIALS)
    )


def make_denied_error(
    text: str, server: str, cause: BaseException | None, right: str = ""
) -> AccessDeniedError:
    """Return the error for a refused command.

    Args:
        text: the server's answer.
        server: the server's name.
        cause: the client's error.
        right: the missing rights; found in the answer if they are empty.
    """
    found = _DENIED_COMMAND.search(text)
    if not right and found is not None:
        right = find_right(found[1])
    remedy = f"grant its user {right}" if right else "`aiocache-pe doctor` names the missing rights"
    denied = AccessDeniedError(f"{server} refuses a command: {text}; {remedy}", right=right)
    denied.__cause__ = cause
    return denied


@contextmanager
def translate_errors(server: str) -> Generator[None]:
    """Raise the client's errors as `BackendError` or `StoreUnavailableError`."""
    try:
        yield
    except CLIENT_ERRORS as error:
        raise translate_error(error, server) from error
    except RuntimeError as error:  # the client could not set up its connection
        if "closed" in str(error) and "loop" in str(error):
            raise StoreUnavailableError(f"{server}: its client's event loop has ended") from error
        raise
