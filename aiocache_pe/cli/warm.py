"""Filling a cache from a file of calls; see `aiocache_pe.warming`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from aiocache_pe.callfile import read_calls
from aiocache_pe.cli import output
from aiocache_pe.cli.exits import BadFileError, LeftOutError
from aiocache_pe.cli.progress import progress
from aiocache_pe.cli.session import Session
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.warming import WarmReport, warm_cache

_NAMED = 5  # failures that the error names; JSON names up to twenty


def read(file: Path) -> list[Any]:
    """The calls in a file; its functions are looked for in the current directory too.

    Raises:
        BadFileError: it cannot be read, or a line means nothing.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return read_calls(file)
    except (ConfigurationError, OSError, UnicodeError) as error:
        raise BadFileError(str(error)) from error


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
        named = "; ".join(f"{words}: {_told(error)}" for words, error in report.failures[:_NAMED])
        more = f"; and {report.failed - _NAMED:,} more" if report.failed > _NAMED else ""
        raise LeftOutError(f"{report.failed:,} failed, all others are done: {named}{more}")


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
