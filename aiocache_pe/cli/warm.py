"""Filling a cache from a file of calls; see `aiocache_pe.warming.warm`."""

from __future__ import annotations

import sys
from typing import Any

from aiocache_pe.cli import human, output
from aiocache_pe.cli.exits import BadFileError, LeftOutError
from aiocache_pe.cli.progress import progress
from aiocache_pe.cli.session import Session
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.warming.call_file import parsed
from aiocache_pe.warming.warm import WarmReport, warm_cache


def read(content: bytes, name: str) -> list[Any]:
    """The calls in a file's content; functions are looked for in the current directory too.

    Raises:
        BadFileError: it is no text, or a line means nothing; the error gives the ``name``.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return list(parsed(content.decode("utf-8-sig"), name))
    except ConfigurationError as error:
        raise BadFileError(str(error)) from error
    except UnicodeError as error:
        raise BadFileError(f"{name} is not UTF-8 text ({error})") from error


async def warm(session: Session, calls: list[Any], concurrency: int, *, refresh: bool) -> None:
    """Compute and store what is not there yet, and tell how many that was.

    Raises:
        LeftOutError: some calls failed; all the others are done.
    """
    async with progress("Warming") as bar:

        def tell(report: WarmReport) -> None:
            bar.done, bar.total = report.done, report.total

        try:
            report = await warm_cache(
                session.cache, calls, concurrency=concurrency, refresh=refresh, on_progress=tell
            )
        except TypeError as error:  # a function that is not a cached one
            raise BadFileError(str(error)) from error
    session.check()
    _tell(session, report)
    if report.failed:
        failures = (f"{words}: {_told(error)}" for words, error in report.failures)
        named = human.first(failures, report.failed)
        raise LeftOutError(f"{report.failed:,} failed, all others are done: {named}")


def _tell(session: Session, report: WarmReport) -> None:
    if session.json:
        failures = [{"call": words, "error": _told(error)} for words, error in report.failures]
        output.as_json(
            {
                "computed": report.computed,
                "present": report.present,
                "failed": report.failed,
                "failures": failures,
            }
        )
    else:
        output.line(f"computed {report.computed:,}, present already {report.present:,}")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
