"""Exit codes of the program, which its help explains, and the errors that have them."""

from __future__ import annotations

from typing import Final

import click

DONE: Final = 0
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141


class AbsentError(click.ClickException):
    """A key has no live entry."""

    exit_code = 1

    def __init__(self, key: str) -> None:
        super().__init__(f"no entry {key!r}")


class DeclinedError(click.ClickException):
    """The confirmation of a removal was declined."""

    exit_code = 1


class PartialFailureError(click.ClickException):
    """Some parts of the work failed; all other parts are done."""

    exit_code = 1


class BadFileError(click.ClickException):
    """A file of the command line cannot be read, or has another format."""

    exit_code = 2


class StoreFailedError(click.ClickException):
    """The store does not work or does not exist, or a setting is not valid."""

    exit_code = 3
