"""Hierarchy of all errors that this library raises.

::

    CacheError
     +-- ConfigurationError      (ValueError)    a setting that cannot work
     +-- InvalidKeyError         (ValueError)    a key, tag or namespace that cannot be stored
     +-- InvalidTTLError         (ValueError)    a time to live of no accepted form
     +-- UnstableIdentityError   (TypeError)     an argument that cannot be part of a key
     +-- MissingDependencyError  (ImportError)   an extra that is not installed
     +-- CacheClosedError        (RuntimeError)  a manager used after close()
     +-- DeadlockError           (RuntimeError)  a blocking call that would never return
     +-- LoadTimeoutError        (TimeoutError)  a value that took longer than hard_timeout
     +-- UnrecordedCallError     (LookupError)   a call in a test without a recorded answer
     +-- SerializationError                      a value that cannot be stored exactly
     |    +-- SecretRequiredError                a value that only signed pickle can store
     +-- CorruptRecordError                      bytes from a store that are no valid record
     +-- BackendError                            a store that failed
          +-- LockTimeoutError   (TimeoutError)  a lock that its holder does not release
          +-- AccessDeniedError                  a command that the server refuses the user
          +-- NewerRecordError                   a record that only a later release can read
          +-- StoreUnavailableError              a server that cannot be reached

The class in parentheses is a second base class. All errors reach the caller, except that a
cached call never raises `BackendError` or `CorruptRecordError`: it counts the error, logs it
once and treats it as a miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class CacheError(Exception):
    """Base class of all errors of this library.

    Example:
        >>> try:
        ...     run(cache.set("key", 1, ttl=-1))
        ... except CacheError as error:
        ...     print(type(error).__name__)
        InvalidTTLError
    """


class ConfigurationError(CacheError, ValueError):
    """A setting has a value that cannot work; the message names the accepted values.

    Example:
        >>> run(cache.get_or_set("key", lambda: 1, jitter=0.1))
        Traceback (most recent call last):
        aiocache_pe.exceptions.ConfigurationError: ...
    """


class InvalidKeyError(CacheError, ValueError):
    """A key, tag or namespace cannot be stored.

    Example:
        >>> run(cache.get("k" * 100_000))
        Traceback (most recent call last):
        aiocache_pe.exceptions.InvalidKeyError: ...
    """


class InvalidTTLError(CacheError, ValueError):
    """A time to live is not positive, or of no accepted form.

    Example:
        >>> run(cache.set("key", 1, ttl=-5))
        Traceback (most recent call last):
        aiocache_pe.exceptions.InvalidTTLError: ttl must be ...; got int: -5
    """


class UnstableIdentityError(CacheError, TypeError):
    """An argument has no identity that outlives the process, so it cannot be part of a key.

    Attributes:
        path: path to the value, for instance ``messages[0].client``.

    Example:
        >>> from aiocache_pe import make_cache_key
        >>> make_cache_key("search", object())
        Traceback (most recent call last):
        aiocache_pe.exceptions.UnstableIdentityError: ...
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class MissingDependencyError(CacheError, ImportError):
    """A feature needs a package that is not installed.

    Attributes:
        extra: the extra to install, as in ``pip install "aiocache_pe[extra]"``.

    Example:
        >>> print(MissingDependencyError("compression='zstd'", extra="zstd"))
        compression='zstd' requires an extra: pip install "aiocache_pe[zstd]"
    """

    def __init__(self, feature: str, *, extra: str) -> None:
        super().__init__(f'{feature} requires an extra: pip install "aiocache_pe[{extra}]"')
        self.extra = extra


class CacheClosedError(CacheError, RuntimeError):
    """The manager was used after it was closed.

    Example:
        >>> run(cache.close())
        >>> run(cache.get("key"))
        Traceback (most recent call last):
        aiocache_pe.exceptions.CacheClosedError: ...
    """


class DeadlockError(CacheError, RuntimeError):
    """A blocking call was made in the thread that has to do its work.

    Example:
        >>> async def lock_twice():
        ...     async with cache.lock("key"), cache.lock("key"):
        ...         pass
        >>> run(lock_twice())
        Traceback (most recent call last):
        aiocache_pe.exceptions.DeadlockError: ...
    """


class LoadTimeoutError(CacheError, TimeoutError):
    """A value took longer than its caller's ``hard_timeout``.

    Attributes:
        key: the key without its namespace.
        seconds: the ``hard_timeout``.

    Example:
        >>> import asyncio
        >>> run(cache.get_or_set("key", lambda: asyncio.sleep(60), hard_timeout=0.01))
        Traceback (most recent call last):
        aiocache_pe.exceptions.LoadTimeoutError: no value for 'key' within 0.01 s (hard_timeout)
    """

    def __init__(self, key: str, seconds: float) -> None:
        super().__init__(f"no value for {key!r:.200} within {seconds:g} s (hard_timeout)")
        self.key = key
        self.seconds = seconds


class UnrecordedCallError(CacheError, LookupError):
    """A call during the replay of recordings has no recorded answer.

    Attributes:
        call: name of the called function.
        directory: directory of the recordings.
        nearest: file of the most similar recording; ``None`` if no recording is similar.

    Example:
        >>> from aiocache_pe import recording
        >>> with recording("recordings") as recordings:
        ...     try:
        ...         run(cache.get_or_set("key", lambda: 1))
        ...     except UnrecordedCallError as error:
        ...         print(error.call)
        ...     recordings.unrecorded.clear()
        get_or_set
    """

    def __init__(self, text: str, *, call: str, directory: str, nearest: str | None) -> None:
        super().__init__(text)
        self.call = call
        self.directory = directory
        self.nearest = nearest


class SerializationError(CacheError):
    """A value cannot be stored so that it comes back equal and of the same type.

    Example:
        >>> run(cache.set("key", lambda: 1))
        Traceback (most recent call last):
        aiocache_pe.exceptions.SerializationError: ...
    """


class SecretRequiredError(SerializationError):
    """Only pickle can store the value, and pickle is not used without a secret.

    Example:
        >>> from aiocache_pe.sync import CacheManager
        >>> CacheManager("redis://localhost:1", fallback=None).set("key", object())
        Traceback (most recent call last):
        aiocache_pe.exceptions.SecretRequiredError: ...
    """


class CorruptRecordError(CacheError):
    """Bytes read from a store are cut, altered, or of an unknown form.

    Attributes:
        reason: the fault.
        key: store key of the record; empty if unknown.

    Example:
        >>> from aiocache_pe.record import unpack
        >>> unpack(b"half a line", key="default:key")
        Traceback (most recent call last):
        aiocache_pe.exceptions.CorruptRecordError: record has no head (key 'default:key')
    """

    def __init__(self, reason: str, *, key: str = "") -> None:
        super().__init__(f"{reason} (key {key!r})" if key else reason)
        self.reason = reason
        self.key = key


class ChangedClassError(CorruptRecordError):
    """A class has changed since its instance was stored.

    It never leaves the engine, for which the record is an ordinary miss.
    """


class LargePayloadError(CorruptRecordError):
    """A payload takes too long to decode in the thread of an event loop.

    It never leaves the engine, which decodes the payload in another thread.
    """


class BackendError(CacheError):
    """A store operation failed, for example because the disk is full or access is denied.

    Attributes:
        done: the part of a batch that was done nevertheless: the records that were written, or the
            heads of the records that were removed.

    Example:
        >>> try:
        ...     visits = run(cache.incr("visits"))
        ... except BackendError:  # the number is unknown
        ...     visits = None
        >>> visits
        1
    """

    done: Sequence[Any] = ()


class AccessDeniedError(BackendError):
    """A server refuses a command, because its user lacks a right.

    Attributes:
        right: the rights that are missing, as for ``ACL SETUSER``: ``+getrange``; empty if unknown.

    Example:
        >>> AccessDeniedError("GETRANGE is not permitted", right="+getrange").right
        '+getrange'
    """

    def __init__(self, message: str, *, right: str = "") -> None:
        super().__init__(message)
        self.right = right


class NewerRecordError(BackendError):
    """A later release wrote the record: its format version, its codec or a field is unknown here.

    A read treats it as a miss and leaves it alone. A change that depends on it fails.

    Attributes:
        reason: the part that is unknown.
        key: store key of the record; empty if unknown.

    Example:
        >>> NewerRecordError("record has the version 2", key="default:key").reason
        'record has the version 2'
    """

    def __init__(self, reason: str, *, key: str = "") -> None:
        name = f" (key {key!r:.200})" if key else ""
        super().__init__(
            f"{reason}, so a later release wrote it{name}; the record is left alone: update "
            "aiocache_pe in this process, or delete the key"
        )
        self.reason = reason
        self.key = key


class LockTimeoutError(BackendError, TimeoutError):
    """Another process or thread held a lock for longer than a store operation takes.

    Example:
        >>> async def lock_in_two_tasks():
        ...     async with cache.lock("key"):
        ...         await asyncio.create_task(cache.lock("key", wait=False).__aenter__())
        >>> import asyncio
        >>> run(lock_in_two_tasks())
        Traceback (most recent call last):
        aiocache_pe.exceptions.LockTimeoutError: ...
    """


class StoreUnavailableError(BackendError):
    """A store's server refuses connections, does not answer, or is still starting.

    Attributes:
        is_misconfigured: whether it refuses the credentials or its host has no address, so that
            only another configuration helps.

    Example:
        >>> from aiocache_pe.sync import CacheManager
        >>> try:
        ...     CacheManager("redis://localhost:1", fallback=None).incr("visits")
        ... except BackendError as error:
        ...     print(type(error.__cause__).__name__)
        StoreUnavailableError
    """

    is_misconfigured = False
