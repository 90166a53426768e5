"""Calls of batch functions: the parameter that holds the items, and calls for some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from aiocache_pe.codecs.numpy_arrays import is_array_type
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.signatures import Args, Kwargs, get_signature, is_in_class
from aiocache_pe.keys.store_keys import describe

_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_NO_BATCH = (str, bytes, bytearray, memoryview, dict, set, frozenset)
"""Types that have items but are not a sequence of items, or have no order."""


@dataclass(frozen=True, slots=True)
class BatchCall:
    """One call of a batch function.

    Attributes:
        at: the position of the batch in ``args``, or its name in ``kwargs``.
    """

    items: Sequence[Any]
    args: Args
    kwargs: Kwargs
    at: int | str

    def with_batch(self, batch: Any) -> tuple[Args, Kwargs]:
        """Return the arguments with another value in the place of the batch."""
        at = self.at
        if isinstance(at, str):
            return self.args, self.kwargs | {at: batch}
        return (*self.args[:at], batch, *self.args[at + 1 :]), self.kwargs

    def iter_single(self) -> Iterator[tuple[Args, Kwargs]]:
        """Yield for each item the arguments with that item in the place of the batch."""
        return map(self.with_batch, self.items)

    def select(self, positions: Sequence[int]) -> tuple[Args, Kwargs]:
        """Return the arguments with a batch of some items, of the same type if possible."""
        items = self.items
        if is_array_type(type(items)):
            return self.with_batch(items[list(positions)])  # type: ignore[call-overload]
        chosen = [items[position] for position in positions]
        return self.with_batch(tuple(chosen) if type(items) is tuple else chosen)


class BatchParameter:
    """The parameter that takes the batch; by default the first one after ``self`` or ``cls``.

    Raises:
        ConfigurationError: there is no parameter of that name, or none for a sequence.

    Example:
        >>> def embed(texts, model="small"): ...
        >>> call = BatchParameter(embed).parse_call((["a", "b"],), {})
        >>> [args for args, _ in call.iter_single()], call.select([1])
        ([('a',), ('b',)], ((['b'],), {}))
    """

    __slots__ = ("_at", "_is_keyword_only", "_title", "name")

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self._title = getattr(function, "__qualname__", repr(function))
        parameters = get_signature(function).parameters
        names = [each for each in parameters if parameters[each].kind not in _VARIADIC]
        if name is None:
            is_method = names[:1] in (["self"], ["cls"]) and is_in_class(function)
            without = names[1:] if is_method else names
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

    def parse_call(self, args: Args, kwargs: Kwargs) -> BatchCall:
        """Return the call for some arguments; raise `TypeError` if they have no batch."""
        if self.name in kwargs:
            return BatchCall(self._check_items(kwargs[self.name]), args, kwargs, self.name)
        if len(args) > self._at and not self._is_keyword_only:
            return BatchCall(self._check_items(args[self._at]), args, kwargs, self._at)
        raise TypeError(f"{self._title}() needs its batch, {self.name!r}")

    def _check_items(self, batch: Any) -> Any:
        is_array = is_array_type(type(batch))
        if isinstance(batch, _NO_BATCH) or not hasattr(batch, "__iter__"):
            raise TypeError(f"{self.name} must be a sequence of items; got {describe(batch)}")
        if is_array and not batch.ndim:
            got = "an array without a dimension"
            raise TypeError(f"{self.name} must be a sequence of items; got {got}")
        return batch if is_array or isinstance(batch, list | tuple) else list(batch)
