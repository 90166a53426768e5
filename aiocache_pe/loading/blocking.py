"""Loading for blocking callers: the store is read in the portal's loop, values are computed here.

A function that a blocking caller decorated runs in the caller's thread. There it finds its
thread-local connections and its signal handlers, and Ctrl-C interrupts it. The portal's loop asks
for the value when it is this caller's turn to compute. The caller waits before that, and while
another caller computes the value.

Once the interpreter is shutting down and the portal has ended, a call runs its function directly.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from functools import partial
from inspect import isawaitable
from typing import Any, TypeVar

from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.options import LoadRequest
from aiocache_pe.loading.previous import Previous, takes_previous
from aiocache_pe.runtime.portal import portal
from aiocache_pe.runtime.threads import call_in_thread

T = TypeVar("T")
LoadOperation = Callable[[Callable[..., Coroutine[Any, Any, Any]]], Coroutine[Any, Any, T]]
"""An async function of a factory that returns the factory's value, or one computed elsewhere."""

_ITEMS_PER_CALL = 256


class FactoryExitError(RuntimeError):
    """A factory in a helper thread raised `SystemExit` or `KeyboardInterrupt`, its cause."""


def load(
    operation: LoadOperation[T],
    function: Callable[[], Any],
    wrap: Callable[[Any], T] = lambda value: value,
) -> T:
    """Load a value by an async operation, and compute it in this thread if needed.

    Args:
        operation: receives the factory; runs in the portal's loop.
        function: computes the value; an awaitable result is awaited in the portal's loop.
        wrap: makes a result of a value that was computed during interpreter shutdown.

    Raises:
        Exception: the function or the operation raised it.
    """
    if not portal.has_ended:
        return portal.run(portal.make_call(operation, function))
    value = function()
    return wrap(portal.call(_await, value) if isawaitable(value) else value)


def load_batch(
    operation: LoadOperation[T], function: Callable[..., Any], *, in_threads: bool = False
) -> T:
    """Load values by an async operation that may call the function several times.

    Args:
        operation: receives the factory, which takes the function's arguments; runs in the
            portal's loop.
        function: computes some values.
        in_threads: whether the function is called in other threads, so that calls may overlap.

    Raises:
        Exception: the function or the operation raised it.
    """

    async def call_in_thread(*args: Any) -> Any:
        return await run_in_thread(partial(function, *args))

    async def call(*args: Any) -> Any:
        return function(*args)

    if portal.has_ended:
        return portal.call(operation, call)
    if in_threads:
        return portal.call(operation, call_in_thread)
    return portal.run(portal.make_call(operation, function))


def load_request(
    load_outcome: Callable[[LoadRequest], Coroutine[Any, Any, Outcome]], request: LoadRequest
) -> Outcome:
    """Load the value of a request in the portal's loop, and compute it in this thread if needed.

    A caller that may return before the value is computed cannot compute it. Then a helper thread
    computes it, and continues when the caller has returned.

    Raises:
        Exception: the factory or ``load_outcome`` raised it.
    """
    factory = request.factory
    in_background = _run_later(request.background_factory or factory)
    request = request._replace(background_factory=in_background)
    if request.policy.may_leave and not portal.has_ended:
        try:
            return portal.call(load_outcome, request._replace(factory=_run_later(factory)))
        except FactoryExitError as error:
            raise (error.__cause__ or error) from None
    if not takes_previous(factory):
        return load(
            lambda compute: load_outcome(request._replace(factory=compute)),
            factory,
            lambda value: Outcome(value, "miss"),
        )

    def call(previous: Previous[Any] | None = None) -> Any:
        return factory(previous=previous)

    def load_with(compute: Callable[..., Coroutine[Any, Any, Any]]) -> Coroutine[Any, Any, Outcome]:
        def compute_with(previous: Previous[Any] | None) -> Coroutine[Any, Any, Any]:
            return compute(previous)

        return load_outcome(request._replace(factory=compute_with))

    return load(load_with, call, lambda value: Outcome(value, "miss"))


def _run_later(factory: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return an async factory that calls a factory in a helper thread."""
    if not takes_previous(factory):
        return partial(run_in_thread, factory)
    return lambda previous: run_in_thread(partial(factory, previous=previous))


async def run_in_thread(function: Callable[[], Any]) -> Any:
    """Call a function in a helper thread; an awaitable result is awaited in this event loop.

    Raises:
        RuntimeError: the function raised ``StopIteration``, which a future cannot hold.
        FactoryExitError: the function raised `SystemExit` or `KeyboardInterrupt`, which would
            end this event loop.
        Exception: the function raised it.
    """

    def call() -> Any:
        try:
            return function()
        except StopIteration as error:
            raise RuntimeError(f"{function!r} raised StopIteration") from error
        except (SystemExit, KeyboardInterrupt) as error:
            raise FactoryExitError(f"{function!r} raised {type(error).__name__}") from error

    value = await call_in_thread(call)
    return await value if isawaitable(value) else value


def wait_for(function: Callable[..., Coroutine[Any, Any, T]], *args: Any, otherwise: T) -> T:
    """Call an async function in the portal's loop, and wait for its result.

    The result is ``otherwise`` once the portal has ended.

    Raises:
        Exception: the function raised it.
    """
    return otherwise if portal.has_ended else portal.call(function, *args)


def iter_in_batches(items: AsyncGenerator[T, None]) -> Iterator[T]:
    """Yield the items of an async generator, with one call into the portal for many items."""
    try:
        has_more = True
        while has_more:
            batch: list[Any] = portal.call(_take_batch, items)
            yield from batch
            has_more = len(batch) == _ITEMS_PER_CALL
    finally:
        wait_for(_close, items, otherwise=None)


async def _take_batch(items: AsyncGenerator[T, None]) -> list[T]:
    batch: list[T] = []
    async for item in items:
        batch.append(item)
        # When the portal has ended, each call has its own loop, the end of which closes `items`.
        if len(batch) == _ITEMS_PER_CALL and not portal.has_ended:
            break
    return batch


async def _await(value: Awaitable[T]) -> T:
    return await value


async def _close(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()
