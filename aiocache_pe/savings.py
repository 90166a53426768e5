"""What a model's answer has used, and so what serving it from the cache saves.

Looked for is what the APIs and SDKs of model servers, and most that is built on them, call
``usage``: an object or a dict beside ``model``, in the value itself, or in the chunks of a
stream that was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from aiocache_pe.prices import PriceTable
from aiocache_pe.record import Savings

_SENT = ("prompt_tokens", "input_tokens", "promptTokenCount", "inputTokens")
_CACHED = ("cache_creation_input_tokens", "cache_read_input_tokens")
"""Anthropic's; they are not among its ``input_tokens``."""
_ANSWERED = ("completion_tokens", "output_tokens", "candidatesTokenCount", "outputTokens")
_USAGE = ("usage", "usage_metadata", "usageMetadata")
_MODEL = ("model", "model_name", "modelVersion")
_WITHIN = ("message", "response")
"""Where events of streams hold the answer so far."""
_NEVER = frozenset((str, bytes, int, float, bool, complex, type(None), list, tuple, set, frozenset))
_FIRST, _LAST = 2, 3  # chunks of a stream that tell what it used


class Appraiser:
    """Says what answers are worth.

    Args:
        prices: what tokens cost; without a price, tokens are counted all the same.

    Example:
        >>> prices = PriceTable({"small": {"input": 1.0, "output": 2.0}})
        >>> usage = {"prompt_tokens": 10, "completion_tokens": 5}
        >>> Appraiser(prices).worth({"model": "small", "usage": usage})
        Savings(input_tokens=10, output_tokens=5, money=2e-05)
    """

    __slots__ = ("_prices",)

    def __init__(self, prices: PriceTable) -> None:
        self._prices = prices

    def worth(self, value: Any) -> Savings | None:
        """What serving a value saves each time; ``None`` where it does not say."""
        if type(value) in _NEVER:
            return None
        try:
            return self._worth(value)
        except Exception:  # noqa: BLE001 - reading an attribute of a user's object runs his code
            return None

    def _worth(self, value: Any) -> Savings | None:
        sent = answered = 0
        model: Any = None
        for part in _parts(value):
            usage = _first(part, _USAGE)
            model = model or _first(part, _MODEL)
            if usage is None or type(usage) in _NEVER:
                continue
            # Of several parts of a stream the last one tells how much it was in the end.
            sent = sum(map(_count, [_first(usage, _SENT), *_each(usage, _CACHED)])) or sent
            answered = _count(_first(usage, _ANSWERED)) or answered
        if not sent and not answered:
            return None
        price = self._prices.find(model if isinstance(model, str) else None)
        return Savings(sent, answered, 0.0 if price is None else price.of(sent, answered))


def _parts(value: Any) -> Iterator[Any]:
    """The value, or of a recorded stream some chunks, and what is in them."""
    yield value
    chunks = value.get("chunks") if type(value) is dict else None
    if type(chunks) is list:
        for chunk in [*chunks[:_FIRST], *chunks[_FIRST:][-_LAST:]]:
            if type(chunk) not in _NEVER:
                yield from (part for part in _each(chunk, _WITHIN) if part is not None)
                yield chunk


def _first(thing: Any, names: tuple[str, ...]) -> Any:
    for found in _each(thing, names):
        if found is not None:
            return found
    return None


def _each(thing: Any, names: tuple[str, ...]) -> Iterator[Any]:
    if type(thing) is dict or isinstance(thing, Mapping):  # to ask for the ABC takes longer
        return map(thing.get, names)
    return map(partial(_attribute, thing), names)


def _attribute(thing: Any, name: str) -> Any:
    return getattr(thing, name, None)


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0
