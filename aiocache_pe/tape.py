"""What is asked of a recording, and what it is told of a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Call:
    """A call, as it is recorded: what tells it from others, and what people see of it.

    Attributes:
        key: its store key.
        name: what is called.
        title: what is called, in a word or two.
        arguments: by their names.
        text: what it is asked, for people; ``None`` for the first text of its arguments.
        is_worth: whether an answer is to be recorded; ``None`` for every answer.
        is_same: whether a newer answer says the same as an older one, given the older and
            the newer; ``None`` if they must be equal.
    """

    key: str
    name: str
    title: str
    arguments: Mapping[str, Any]
    text: str | None = None
    is_worth: Callable[[Any], bool] | None = None
    is_same: Callable[[Any, Any], bool] | None = None


class Tape(Protocol):
    """A recording, to which calls go instead of to a cache."""

    def find(self, call: Call) -> Any:
        """What was recorded of a call, a value of the caller's own; `MISSING`: call and keep.

        Raises:
            UnrecordedCallError: nothing was, and no call is to be made.
        """
        ...

    async def keep(self, call: Call, value: Any) -> None:
        """Record what a call returned.

        Raises:
            SerializationError: it cannot be recorded so that it can be read and comes back
                the same, or it holds a secret.
            BackendError: the directory cannot be written.
        """
        ...

    async def answer(self, call: Call, compute: Callable[[], Awaitable[Any]]) -> Any:
        """What was recorded of a call, or what it returns now, recorded."""
        ...
