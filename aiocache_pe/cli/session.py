"""Session of one command with a cache: opened, watched for failures of the store, and closed.

The library continues when a store fails, because an application needs that. The user of a command
needs to know it. Therefore a session reports every failure.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from aiocache_pe.cache.factory import find_directory, find_legacy_file, find_obstacle
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.cli import exit_codes, output
from aiocache_pe.cli.options import Settings, common
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.events import BackendFailed
from aiocache_pe.exceptions import CacheError, InvalidKeyError

T = TypeVar("T")

_OPERATIONS = {
    "scan": "list its entries",
    "totals": "count its entries",
    "stats": "save the counters",
    "usage": "count the read",
    "sweep": "remove the remains of crashed processes",
}
"""Descriptions of the store's operations, if the name alone is not clear."""

_LOCKS = ".locks"  # the file store locks here before its first write, so every cache has it


class Session:
    """An open cache, and the failures of its store.

    The cache has no memory tier, because a command reads nothing twice.

    Raises:
        StoreFailedError: there is no cache, and the command does not create one.
        CacheError: a setting is not valid.

    Attributes:
        place: the directory or the name of the store.
        spans: whether the command concerns all namespaces.
    """

    def __init__(self, settings: Settings, *, creates: bool) -> None:
        if settings.all_namespaces and settings.namespace is not None:
            raise click.UsageError("--namespace and --all-namespaces must not be given together")
        self.json = settings.json
        self.spans = settings.all_namespaces
        self.cache = CacheManager(
            settings.backend,
            directory=settings.directory,
            redis_url=settings.redis_url,
            namespace=settings.namespace,
            max_bytes=None,  # the bounds of the application stay in force
            memory_max_bytes=0,
            fallback=None,  # the options select Redis, not the files of the fallback
        )
        self.namespace: Namespace = self.cache.loader.namespace
        self.place = _check_store(self.namespace, creates=creates)
        self._failures: list[BackendFailed] = []
        self.cache.subscribe(BackendFailed, self._failures.append)

    async def list_views(self) -> list[CacheManager]:
        """Return the managers of the selected namespace, or of all namespaces with entries."""
        if not self.spans:
            return [self.cache]
        return [self.cache.namespace(name) for name in await self.run(self.cache.namespaces())]

    async def report_other_namespaces(self) -> None:
        """Write a hint if the namespace has no entries and other ones have some."""
        names = await self.run(self.cache.namespaces())
        if names and self.namespace.name not in names and not self.spans:
            listed = output.list_first(map(repr, names), len(names))
            output.write_error(
                f"Hint: namespace {self.namespace.name!r} is empty, and other ones have entries: "
                f"{listed}; use --namespace or --all-namespaces"
            )

    async def run(self, work: Awaitable[T]) -> T:
        """Return the result of an operation; raise `StoreFailedError` if the store has failed."""
        result = await work
        self.check()
        return result

    def check(self) -> None:
        """Raise `StoreFailedError` if the store has failed."""
        if self._failures:
            raise exit_codes.StoreFailedError(self.describe_failures())

    def describe_failures(self) -> str:
        """Return the failures since the last call in one line; empty if there were none."""
        failures, self._failures[:] = list(self._failures), []
        if not failures:
            return ""
        first, others = failures[0], len(failures) - 1
        reason = str(first.error) or type(first.error).__name__
        if not isinstance(first.error, CacheError):
            reason = f"the store cannot {_OPERATIONS.get(first.verb, first.verb)}: {reason}"
        return f"{reason} (and {others} more)" if others else reason

    async def close(self) -> str:
        """Save the counters, close the store, and return the failures in one line."""
        self._failures.clear()
        await self.cache.close()
        return self.describe_failures()


def run(
    settings: Settings, action: Callable[[Session], Awaitable[T]], *, creates: bool = False
) -> T:
    """Run an action on the cache that the common options select, and return its result.

    Raises:
        click.ClickException: the action is not possible; the error has the reason.
        click.exceptions.Exit: the reader of the output closed the pipe.
    """
    _silence_log()
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
    except Exception as error:  # of a third-party store, or of an output on a full disk
        output.drop_output()
        raise exit_codes.StoreFailedError(f"{type(error).__name__}: {error}") from error
    return result


def command(
    *parameters: Callable[[Any], Any],
    name: str | None = None,
    creates: bool = False,
    spans: bool = False,
) -> Callable[[Callable[..., Awaitable[None]]], click.Command]:
    """Make a command of an async function that takes a session and the command's parameters.

    Args:
        parameters: decorators of click for the parameters.
        name: the name of the command; the default is the name of the function.
        creates: whether the command creates a missing cache.
        spans: whether the command takes ``--all-namespaces``.
    """

    def decorate(action: Callable[..., Awaitable[None]]) -> click.Command:
        def call(settings: Settings, **arguments: Any) -> None:
            if settings.all_namespaces and not spans:
                raise click.UsageError(
                    "--all-namespaces is valid only with stats, keys, clear and cleanup"
                )
            run(settings, lambda session: action(session, **arguments), creates=creates)

        call.__doc__ = action.__doc__
        function = common(call)
        for parameter in reversed(parameters):
            function = parameter(function)
        return click.command(name or action.__name__)(function)

    return decorate


async def _run(
    settings: Settings, action: Callable[[Session], Awaitable[T]], *, creates: bool
) -> T:
    session = Session(settings, creates=creates)
    try:
        result = await action(session)
    except BaseException:
        await session.close()  # its failures add nothing to this error
        raise
    if failures := await session.close():
        # For instance over a read-only directory; the action itself has succeeded.
        output.write_error(f"Warning: not counted: {failures}")
    return result


def _check_store(namespace: Namespace, *, creates: bool) -> str:
    """Return the directory or the name of a store, unless the program cannot use it."""
    name = namespace.store_name
    if name == "null":
        raise exit_codes.StoreFailedError(
            "caching is disabled by AIOCACHE_PE_DISABLE or AIOCACHE_PE_BACKEND"
        )
    if name == "memory":
        raise exit_codes.StoreFailedError(
            "AIOCACHE_PE_BACKEND selects a memory store, which other processes cannot read; "
            "use --backend file for the files"
        )
    directory = find_directory(namespace.engine.backend)
    if directory is not None and not creates:
        _check_directory(directory, namespace)
    return directory or name


def _check_directory(directory: str, namespace: Namespace) -> None:
    """Raise unless a cache exists: an empty result, or a new directory, would be misleading."""
    try:
        os.stat(os.path.join(directory, _LOCKS))  # noqa: PTH116, PTH118 - the path is a str
    except FileNotFoundError:
        found = find_legacy_file(directory)
        advice = f"; {found[0]} is the file of an old cache manager: {found[1]}" if found else ""
        obstacle = find_obstacle(namespace.engine.backend)
        reason = f", and none can be created: {obstacle}" if obstacle else advice
        raise exit_codes.StoreFailedError(f"there is no cache in {directory}{reason}") from None
    except OSError as error:
        raise exit_codes.StoreFailedError(f"cannot read the cache: {error}") from error


def _silence_log() -> None:
    """Keep the library's log off standard error, because the session reports the failures."""
    logger = logging.getLogger("aiocache_pe")
    if not logger.hasHandlers():
        logger.addHandler(logging.NullHandler())
