"""How a command ends: what a script learns from its exit code.

====  =====================================================================
code  meaning
====  =====================================================================
0     done
1     no: there is no such entry, or the question was answered with no
2     the command line means nothing, or needs an answer that nobody can give
3     the store, or a setting outside the command line, does not work
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
