"""How a command ends: what a script learns from its exit code.

====  =====================================================================
code  meaning
====  =====================================================================
0     done
1     no such entry, the question was answered with no, or not all was done
2     the command line, or a file it names, means nothing, or nobody can answer
3     the store or a setting does not work, or there is no cache
130   Ctrl-C
141   whoever read the output left, as ``head`` does
====  =====================================================================
"""

from __future__ import annotations

from typing import Final

import click

DONE: Final = 0
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141


class AbsentError(click.ClickException):
    """There is no live entry under a key."""

    exit_code = 1

    def __init__(self, key: str) -> None:
        super().__init__(f"no entry {key!r}")


class DeclinedError(click.ClickException):
    """The question before destroying was answered with no."""

    exit_code = 1


class StoreFailedError(click.ClickException):
    """The store does not work, or is not there, or a setting cannot work."""

    exit_code = 3


class LeftOutError(click.ClickException):
    """Some of what was to be done means nothing; all the rest is done."""

    exit_code = 1


class BadFileError(click.ClickException):
    """A file that the command line names cannot be read, or is not of its format."""

    exit_code = 2
