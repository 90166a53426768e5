"""Controls of cached calls, set for a block: a mode, a greatest age, or a recording.

The controls hold for calls inside the ``with`` block and in tasks started there, because they
are one context variable. A cassette also holds for the whole process, so that no call of a test
gets past it: neither a call in another thread, nor one of a server that was started earlier,
nor one inside another mode's block.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, Token, copy_context
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol, Self

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.short_keys import make_sample_key
from aiocache_pe.keys.store_keys import describe
from aiocache_pe.observation import ObservedCall
from aiocache_pe.runtime.fork import hold_during_fork
from aiocache_pe.ttl import Duration, parse_duration


@dataclass(frozen=True, slots=True)
class Call:
    """A call to record: its identity, and its description for readers of the recording.

    Attributes:
        key: the store key.
        name: the qualified name of the called function, or its counterpart.
        title: a name of one or two words.
        arguments: the arguments by name.
        text: the question for readers; ``None`` for the first text among the arguments.
        is_recordable: returns whether an answer is to be recorded; ``None`` for every answer.
        is_same: returns whether an older and a newer answer are equivalent; ``None`` if they
            must be equal.
    """

    key: str
    name: str
    title: str
    arguments: Mapping[str, Any]
    text: str | None = None
    is_recordable: Callable[[Any], bool] | None = None
    is_same: Callable[[Any, Any], bool] | None = None


Turns = dict[str, tuple[Iterator[int], list[int]]]
"""For each key the next numbers of its samples, and numbers that were given back."""


class Cassette(Protocol):
    """A recording that answers calls in place of a cache.

    Attributes:
        turns: the numbers of samples inside its block.
    """

    turns: Turns

    def find(self, call: Call) -> Any:
        """Return a copy of a call's recorded answer; `MISSING` if the call is to be made.

        Raises:
            UnrecordedCallError: there is no recorded answer, and no call is to be made.
        """

    async def store(self, call: Call, value: Any) -> None:
        """Record the answer of a call.

        Raises:
            SerializationError: the value cannot be recorded readably and exactly, or it
                contains a secret.
            BackendError: the directory cannot be written.
        """

    async def answer(self, call: Call, compute: Callable[[], Awaitable[Any]]) -> Any:
        """Return a call's recorded answer, or compute and record it."""


class _CassetteScope(NamedTuple):
    """The cassette of one block; without one, calls go to the cache."""

    cassette: Cassette | None


class Mode(Enum):
    """The behaviour of cached calls that differs from the default."""

    BYPASS = "bypass"
    REFRESH = "refresh"
    READ_ONLY = "read only"
    RECORDED = "recorded"


class Control(NamedTuple):
    """The controls of the blocks around a call.

    Attributes:
        mode: the mode; ``None`` for the default.
        max_age: the greatest age of an entry that may be served, in seconds; ``None`` for any.
        calls: the list of observed calls; ``None`` if no block observes them.
        sample: the number of the sample; ``None`` if no block chooses one.
    """

    mode: Mode | None = None
    max_age: float | None = None
    calls: list[ObservedCall] | None = None
    sample: int | None = None

    def choose_key(self, key: str) -> str:
        """Return the store key of the sample, for the store key of a call."""
        return make_sample_key(key, self.sample) if self.sample else key


NO_CONTROL = Control()
_control: ContextVar[Control | None] = ContextVar("aiocache_pe_control", default=None)
_own_scope: ContextVar[_CassetteScope | None] = ContextVar("aiocache_pe_tape", default=None)
_open_scopes: list[_CassetteScope] = []  # of all blocks in the process, the innermost last
_lock = threading.RLock()
hold_during_fork(_lock)

current_control: Callable[[], Control | None] = _control.get
"""Return the controls of the running task; ``None`` without any.

Call it as ``context.current_control()``. `use_cassette` replaces the function while a cassette
is in use, so that a program without one pays nothing for cassettes.
"""


def current_mode() -> Mode | None:
    """Return the mode of the running task; ``None`` for the default."""
    control = current_control()
    return None if control is None else control.mode


def current_cassette() -> Cassette | None:
    """Return the cassette of this task, else that of the process; ``None`` if there is none."""
    own, scopes = _own_scope.get(), _open_scopes.copy()  # other threads may leave their blocks
    for scope in scopes:
        if scope is own:  # the scope of a task that outlived its block is not open
            return scope.cassette
    return scopes[-1].cassette if scopes else None


class use_cassette:  # noqa: N801 - used as a statement, like `bypass`
    """Context manager that has a cassette answer the calls within the block.

    Args:
        cassette: the cassette; ``None`` lets calls go to the cache.
    """

    __slots__ = ("_scope", "_token")

    def __init__(self, cassette: Cassette | None) -> None:
        self._scope = _CassetteScope(cassette)
        self._token: Token[_CassetteScope | None] | None = None

    def __enter__(self) -> Self:
        global current_control  # noqa: PLW0603 - programs without a cassette pay nothing for it
        with _lock:
            _open_scopes.append(self._scope)
            current_control = _get_control_with_cassettes
        self._token = _own_scope.set(self._scope)
        return self

    def __exit__(self, *error: object) -> None:
        global current_control  # noqa: PLW0603 - programs without a cassette pay nothing for it
        if self._token is not None:
            with suppress(ValueError):  # the end of a test may run in another context
                _own_scope.reset(self._token)
        with _lock:
            _open_scopes[:] = [scope for scope in _open_scopes if scope is not self._scope]
            if not _open_scopes:
                current_control = _control.get


def _get_control_with_cassettes() -> Control | None:
    control = _control.get()
    if current_cassette() is None:
        return control
    return (control or NO_CONTROL)._replace(mode=Mode.RECORDED)


class ControlBlock:
    """Context manager that changes some controls of the calls inside.

    Args:
        name: the name of the block, for an error message.
        changes: the controls to change; the others stay those of the outer blocks.
    """

    __slots__ = ("_changes", "_name", "_token")

    def __init__(self, name: str, **changes: Any) -> None:
        self._name = name
        self._changes = changes
        self._token: Token[Control | None] | None = None

    def __enter__(self) -> Self:
        if self._token is not None:
            raise RuntimeError(
                f"a {self._name} block must not be entered inside itself; "
                "create another context manager"
            )
        control = _control.get() or NO_CONTROL
        self._token = _control.set(control._replace(**self._changes))
        return self

    def __exit__(self, *error: object) -> None:
        if self._token is not None:
            _control.reset(self._token)
            self._token = None


@contextmanager
def apply(control: Control) -> Generator[None]:
    """Let calls within the block have the number of a control's sample."""
    if control.sample is None or control.sample == (_control.get() or NO_CONTROL).sample:
        yield
        return
    with ControlBlock("sample", sample=control.sample):
        yield


def replace_mode(mode: Mode) -> Control:
    """Return the controls of the running task with another mode."""
    return (current_control() or NO_CONTROL)._replace(mode=mode)


def bypass() -> ControlBlock:
    """Make cached calls plain calls within a block: they read and store no entries.

    Returns:
        A context manager.

    Example:
        >>> from aiocache_pe import bypass
        >>> async def main():
        ...     with bypass():
        ...         return await cache.get_or_set("n", lambda: 2)
        >>> run(main()), run(cache.exists("n"))
        (2, False)
    """
    return ControlBlock(Mode.BYPASS.value, mode=Mode.BYPASS)


def refresh() -> ControlBlock:
    """Have cached calls compute and store new values within a block.

    Returns:
        A context manager.

    Example:
        >>> from aiocache_pe import refresh
        >>> async def main():
        ...     await cache.set("n", 1)
        ...     with refresh():
        ...         await cache.get_or_set("n", lambda: 2)
        ...     return await cache.get("n")
        >>> run(main())
        2
    """
    return ControlBlock(Mode.REFRESH.value, mode=Mode.REFRESH)


def read_only() -> ControlBlock:
    """Have cached calls read stored values, and store none, within a block.

    Returns:
        A context manager.

    Example:
        >>> from aiocache_pe import read_only
        >>> async def main():
        ...     with read_only():
        ...         return await cache.get_or_set("n", lambda: 2)
        >>> run(main()), run(cache.exists("n"))
        (2, False)
    """
    return ControlBlock(Mode.READ_ONLY.value, mode=Mode.READ_ONLY)


def fresh(max_age: Duration) -> ControlBlock:
    """Have cached calls serve only entries up to an age within a block; older ones are computed.

    An expired entry is not served, not even with ``stale_ttl``. The age counts from the time at
    which the value was stored, in whole seconds.

    Args:
        max_age: the greatest age: seconds, a ``timedelta``, or a string such as ``"1h"``.

    Returns:
        A context manager.

    Raises:
        ConfigurationError: the age is invalid.

    Example:
        >>> from aiocache_pe import fresh
        >>> async def main():
        ...     await cache.set("n", 1)
        ...     with fresh(max_age="1h"):
        ...         return await cache.get_or_set("n", lambda: 2)
        >>> run(main())
        1
    """
    return ControlBlock("fresh", max_age=parse_duration("max_age", max_age))


def sample(number: int) -> ControlBlock:
    """Keep the results of cached calls within a block apart from those of other numbers.

    Repeated calls of a model have different answers. Each number has its own entry, and the number
    is never sent to the model. Sample 0 is the entry that calls without a block use. The block
    applies to calls of decorated functions, of ``get_or_set``, of LangChain's models and to
    requests through the transports, also to those that a decorated function makes.

    Args:
        number: the number of the sample, 0 or more.

    Returns:
        A context manager.

    Raises:
        TypeError: the number is no int.
        ConfigurationError: the number is negative.

    Example:
        >>> from aiocache_pe import sample
        >>> async def roll(number):
        ...     with sample(number):
        ...         return await cache.get_or_set("dice", lambda: number + 1)
        >>> [run(roll(number)) for number in (0, 1, 0, 1)]
        [1, 2, 1, 2]
    """
    if type(number) is not int:
        raise TypeError(f"number must be an int; got {describe(number)}")
    if number < 0:
        raise ConfigurationError(f"number must be an int of 0 or more; got {number}")
    return ControlBlock("sample", sample=number)


class observe:  # noqa: N801 - used as a statement, like `bypass`
    """Context manager that lists the cached calls within a block.

    It lists calls of decorated functions of every kind, of ``get_or_set``, of LangChain's models,
    and requests through the transports; of a batch, one call for each item. Calls of tasks and
    threads that have the context of the block are listed, too. Calls of a background refresh are
    not. The calls of an inner block are added to the list of the outer one when it ends.

    Returns:
        A context manager of the list of `ObservedCall`, in the order in which the calls ended.

    Example:
        >>> from aiocache_pe import observe
        >>> async def main():
        ...     with observe() as calls:
        ...         await cache.get_or_set("n", lambda: 2)
        ...     return [(call.key, call.outcome) for call in calls]
        >>> run(main())
        [('n', 'miss')]
    """

    __slots__ = ("_block", "_calls")

    def __init__(self) -> None:
        self._calls: list[ObservedCall] = []
        self._block = ControlBlock("observe", calls=self._calls)

    def __enter__(self) -> list[ObservedCall]:
        self._block.__enter__()
        return self._calls

    def __exit__(self, *error: object) -> None:
        self._block.__exit__(*error)
        outer = _control.get()
        if outer is not None and outer.calls is not None:
            outer.calls.extend(self._calls)


def make_unobserved_context() -> Context:
    """Return a copy of the running context, in which calls are not observed."""
    copied, control = copy_context(), _control.get()
    if control is not None and control.calls is not None:
        copied.run(_control.set, control._replace(calls=None))
    return copied
