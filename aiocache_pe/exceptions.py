"""Every error this library raises, in one tree.

::

    CacheError
     +-- ConfigurationError      (also ValueError)   a setting that cannot work
     +-- InvalidKeyError         (also ValueError)   a key or namespace no store can take
     +-- InvalidTTLError         (also ValueError)   a time to live that means nothing
     +-- UnstableIdentityError   (also TypeError)    an argument that cannot be part of a key
     +-- MissingDependencyError  (also ImportError)  an extra that is not installed
     +-- CacheClosedError        (also RuntimeError) used after ``close()``
     +-- DeadlockError           (also RuntimeError) a blocking call that could never end
     +-- LoadTimeoutError        (also TimeoutError) a value that took longer than ``hard_timeout``
     +-- UnrecordedCallError     (also LookupError)  a call in a test that nobody recorded
     +-- SerializationError                          a value that cannot be stored exactly
     |    +-- SecretRequiredError                    ... unless a secret allows signed pickle
     +-- CorruptRecordError                          bytes from a store that are not to be trusted
     +-- BackendError                                a store that does not work
          +-- LockTimeoutError   (also TimeoutError) a lock that its holder does not give back
          +-- StoreUnavailableError                  ... because it cannot be reached at all

The first group is raised at the caller, because the caller can mend it. A
`BackendError` or `CorruptRecordError` inside a cached call never is: it is
counted, logged once and becomes a miss.
"""

from __future__ import annotations


class CacheError(Exception):
    """The root of this library's errors."""


class ConfigurationError(CacheError, ValueError):
    """A setting has a value that cannot work; the message names it and what is accepted."""


class InvalidKeyError(CacheError, ValueError):
    """A key, tag or namespace is of a form that no store can take."""


class InvalidTTLError(CacheError, ValueError):
    """A time to live is negative, not a number, or not readable as a duration."""


class UnstableIdentityError(CacheError, TypeError):
    """An argument has no identity that outlives the process, so it cannot be part of a key.

    Attributes:
        path: where the value stands, for instance ``messages[0].client``.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class MissingDependencyError(CacheError, ImportError):
    """A feature needs a package that is not installed.

    Attributes:
        extra: the extra to install, as in ``pip install "aiocache_pe[extra]"``.
    """

    def __init__(self, feature: str, *, extra: str) -> None:
        super().__init__(f'{feature} needs an extra: pip install "aiocache_pe[{extra}]"')
        self.extra = extra


class CacheClosedError(CacheError, RuntimeError):
    """The manager was used after it was closed."""


class DeadlockError(CacheError, RuntimeError):
    """A blocking call was made in the very thread that would have to do its work."""


class LoadTimeoutError(CacheError, TimeoutError):
    """A value was not there in the time that its caller had for it.

    Attributes:
        key: the key, without its namespace.
        seconds: the ``hard_timeout``.
    """

    def __init__(self, key: str, seconds: float) -> None:
        super().__init__(f"no value for {key!r:.200} within {seconds:g} s (hard_timeout)")
        self.key = key
        self.seconds = seconds


class UnrecordedCallError(CacheError, LookupError):
    """A call was to be answered by what was recorded, and nobody recorded it.

    Attributes:
        call: what was called.
        directory: where its recording was looked for.
        nearest: the file of the recording that is most like it; ``None`` if none is.
    """

    def __init__(self, text: str, *, call: str, directory: str, nearest: str | None) -> None:
        super().__init__(text)
        self.call = call
        self.directory = directory
        self.nearest = nearest


class SerializationError(CacheError):
    """A value cannot be stored so that it comes back equal and of the same type."""


class SecretRequiredError(SerializationError):
    """Only pickle could hold the value, and pickle is not used without a secret."""


class CorruptRecordError(CacheError):
    """Bytes read from a store are cut short, altered, or of an unknown form.

    Attributes:
        key: the store key they were read under, when it is known.
    """

    def __init__(self, reason: str, *, key: str = "") -> None:
        super().__init__(f"{reason} (key {key!r})" if key else reason)
        self.reason = reason
        self.key = key


class BackendError(CacheError):
    """A store failed to carry out a verb: disk full, permission denied, server away."""


class LockTimeoutError(BackendError, TimeoutError):
    """Another process held a lock for longer than a store operation can take."""


class StoreUnavailableError(BackendError):
    """A store's server is away: it refuses, does not answer, or is still starting."""
