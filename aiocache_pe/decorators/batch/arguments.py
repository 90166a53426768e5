"""Calls of a function whose one parameter is a sequence of items, seen item by item."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from inspect import Parameter
from typing import Any

from aiocache_pe.codecs.numpy_arrays import is_array_type
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.signatures import get_signature

_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_NO_BATCH = (str, bytes, bytearray, memoryview, dict, set, frozenset)
"""What has items, and is yet no sequence of items somebody could have meant, or has no order."""


class BatchCall:
    """One call.

    Args:
        items: what the batch consists of.
        args: the other arguments, with the batch among them or not.
        kwargs: the same by name.
        at: the batch's place in ``args``, or its name in ``kwargs``.

    Attributes:
        items: as a sequence.
    """

    __slots__ = ("_args", "_at", "_kwargs", "items")

    def __init__(
        self, items: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any], at: int | str
    ) -> None:
        self.items = items
        self._args = args
        self._kwargs = kwargs
        self._at = at

    def with_batch(self, batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, with something else in the batch's place."""
        at = self._at
        if isinstance(at, str):
            return self._args, self._kwargs | {at: batch}
        return (*self._args[:at], batch, *self._args[at + 1 :]), self._kwargs

    def each(self) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        """The arguments with each single item in the batch's place."""
        return map(self.with_batch, self.items)

    def some(self, places: Sequence[int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with a batch of some of the items, of the same type if possible."""
        items = self.items
        if is_array_type(type(items)):
            return self.with_batch(items[list(places)])  # type: ignore[call-overload]
        chosen = [items[place] for place in places]
        return self.with_batch(tuple(chosen) if type(items) is tuple else chosen)


class BatchParameter:
    """The parameter that takes the batch.

    Args:
        function: whose parameter.
        name: its name; by default it is the first one, after ``self`` or ``cls``.

    Raises:
        ConfigurationError: there is none that could take a sequence.

    Example:
        >>> def embed(texts, model="small"): ...
        >>> call = BatchParameter(embed).call((["a", "b"],), {})
        >>> [args for args, _ in call.each()], call.some([1])
        ([('a',), ('b',)], ((['b'],), {}))
    """

    __slots__ = ("_at", "_is_keyword_only", "_title", "name")

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self._title = getattr(function, "__qualname__", repr(function))
        parameters = get_signature(function).parameters
        names = [each for each in parameters if parameters[each].kind not in _VARIADIC]
        if name is None:
            without = names[1:] if names[:1] in (["self"], ["cls"]) else names
            name = without[0] if without else None
        if name is None or name not in names:
            raise ConfigurationError(
                f"{self._title} has no parameter "
                + (f"{name!r} for the batch" if name else "that could take a batch")
                + "; accepted: "
                + (", ".join(map(repr, names)) or "none, as it takes no sequence by name")
            )
        self.name = name
        self._at = list(parameters).index(name)
        self._is_keyword_only = parameters[name].kind is Parameter.KEYWORD_ONLY

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BatchCall:
        """A call, by its arguments.

        Raises:
            TypeError: the batch is missing, or is no sequence of items.
        """
        if self.name in kwargs:
            at: int | str = self.name
            given = kwargs[self.name]
        elif len(args) > self._at and not self._is_keyword_only:
            at, given = self._at, args[self._at]
        else:
            raise TypeError(f"{self._title}() needs its batch, {self.name!r}")
        return BatchCall(self._items(given), args, kwargs, at)

    def _items(self, given: Any) -> Any:
        is_array = is_array_type(type(given))
        if isinstance(given, _NO_BATCH) or not hasattr(given, "__iter__"):
            raise TypeError(
                f"{self.name} is a sequence of items, not {type(given).__name__}: {given!r:.80}"
            )
        if is_array and not given.ndim:
            raise TypeError(f"{self.name} is a sequence of items, not an array without a dimension")
        return given if is_array or isinstance(given, list | tuple) else list(given)
