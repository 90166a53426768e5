"""A command's time with a cache: opened, watched, closed.

The library survives a broken store, which is what an application wants. Whoever types
a command wants to know, so everything that is survived here is told.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, runtime_checkable

import click

from aiocache_pe.backends.base import Backend
from aiocache_pe.cache import factory
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.cli import exit_codes, output
from aiocache_pe.cli.options import Settings
from aiocache_pe.events import BackendFailed
from aiocache_pe.exceptions import CacheError, InvalidKeyError

T = TypeVar("T")

_VERBS = {
    "scan": "list its entries",
    "totals": "count its entries",
    "stats": "keep the counters",
    "usage": "note who was read",
    "sweep": "remove what dead processes left",
}
"""What a store was asked to do, where the verb alone would not say it."""

_LOCKS = ".locks"  # the file store locks here before it first writes, so no cache lacks it


@runtime_checkable
class Local(Protocol):
    """A store that keeps files in one directory."""

    @property
    def directory(self) -> str:
        """The directory, absolute."""
        ...


class Session:
    """An open cache, and what went wrong with its store.

    Args:
        settings: what the command line says.
        creates: whether the command makes a cache where there is none.

    Raises:
        StoreFailedError: there is no cache.
        CacheError: a setting cannot work.
    """

    def __init__(self, settings: Settings, *, creates: bool) -> None:
        self.json = settings.json
        self.namespace = factory.resolve_namespace(settings.namespace)
        self.store = _store(settings)
        self.place = self.store.name
        if isinstance(self.store, Local):
            self.place = self.store.directory
            if not creates:
                _check_cache(self.place)
        # No memory tier: nothing is read twice here.
        self.cache = CacheManager(self.store, namespace=self.namespace, memory_max_bytes=0)
        self._failures: list[BackendFailed] = []
        self.cache.subscribe(BackendFailed, self._failures.append)

    async def ask(self, work: Awaitable[T]) -> T:
        """What the cache answers, if its store did not fail meanwhile.

        Raises:
            StoreFailedError: it did; the answer would be that of an empty cache.
        """
        answer = await work
        self.check()
        return answer

    def check(self) -> None:
        """Raise `StoreFailedError` if the store has failed."""
        if self._failures:
            raise exit_codes.StoreFailedError(self.trouble())

    def trouble(self) -> str:
        """What went wrong since this was last asked, in one line; empty if nothing did."""
        failures, self._failures[:] = list(self._failures), []
        if not failures:
            return ""
        first, more = failures[0], len(failures) - 1
        reason = str(first.error) or type(first.error).__name__
        if not isinstance(first.error, CacheError):
            reason = f"the store cannot {_VERBS.get(first.verb, first.verb)}: {reason}"
        return f"{reason} (and {more} more)" if more else reason

    async def close(self) -> str:
        """Report the counters and close the store.

        Returns:
            What went wrong with that, in one line; empty if nothing did.
        """
        self._failures.clear()
        await self.cache.close()
        await self.store.close()
        return self.trouble()


def run(
    settings: Settings, action: Callable[[Session], Awaitable[T]], *, creates: bool = False
) -> T:
    """Do something with the cache that the command line means.

    Args:
        settings: what the command line says.
        action: what to do, and to print.
        creates: whether that makes a cache where there is none.

    Returns:
        What the action returns.

    Raises:
        click.ClickException: it cannot be done, and why.
        click.exceptions.Exit: nobody reads the output any more.
    """
    _hush()
    try:
        try:
            result = asyncio.run(_run(settings, action, creates=creates))
        finally:
            output.flush()
    except (click.ClickException, click.exceptions.Exit):
        raise
    except BrokenPipeError:
        output.drop_output()
        raise click.exceptions.Exit(exit_codes.BROKEN_PIPE) from None
    except InvalidKeyError as error:
        raise click.UsageError(str(error)) from error
    except CacheError as error:
        raise exit_codes.StoreFailedError(str(error)) from error
    except Exception as error:  # a store of others, or the output's disk is full
        output.drop_output()
        raise exit_codes.StoreFailedError(f"{type(error).__name__}: {error}") from error
    return result


async def _run(
    settings: Settings, action: Callable[[Session], Awaitable[T]], *, creates: bool
) -> T:
    session = Session(settings, creates=creates)
    try:
        result = await action(session)
    except BaseException:
        await session.close()  # nothing it could add to the error that there is
        raise
    if trouble := await session.close():
        # Over a read-only directory for instance; the command has done its work.
        output.write_error(f"Warning: not counted: {trouble}")
    return result


def _store(settings: Settings) -> Backend:
    """The store that is meant: made by the library, and held here to be asked directly."""
    store = factory.build(
        backend=settings.backend,
        directory=settings.directory,
        redis_url=settings.redis_url,
        max_entries=None,
        max_bytes=None,
        eviction=None,
        memory_max_bytes=0,
        compression=None,
        secret=None,
        fallback=None,  # whoever asks about Redis does not mean other files
        prices={},
        clock=None,
    ).engine.backend
    if store.name == "null":
        raise exit_codes.StoreFailedError(
            "caching is turned off here, by AIOCACHE_PE_DISABLE or AIOCACHE_PE_BACKEND"
        )
    if store.name == "memory":
        raise exit_codes.StoreFailedError(
            "AIOCACHE_PE_BACKEND names a memory store, which is its own process's; "
            "--backend file means the files"
        )
    return store


def _check_cache(directory: str) -> None:
    """Raise unless a cache is there: an empty answer, or a directory made, would mislead."""
    try:
        os.stat(os.path.join(directory, _LOCKS))  # noqa: PTH116, PTH118 - asked once, a str
    except FileNotFoundError:
        raise exit_codes.StoreFailedError(f"there is no cache in {directory}") from None
    except OSError as error:
        raise exit_codes.StoreFailedError(f"cannot read the cache: {error}") from error


def _hush() -> None:
    """Keep the library's log off the standard error: what it would say is told by us."""
    logger = logging.getLogger("aiocache_pe")
    if not logger.hasHandlers():
        logger.addHandler(logging.NullHandler())
