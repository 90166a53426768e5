"""What a model's answer has used, and so what serving it from the cache saves.

Looked for is what the APIs and SDKs of model servers, and most that is built on them, call
``usage``: an object or a dict beside ``model``, in the value itself, or in the chunks of a
stream that was recorded.

What tokens cost: the price table that a user gives.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.record import Savings

MILLION = 1_000_000
_RELEASE = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest)$")


@dataclass(frozen=True, slots=True)
class Price:
    """What a model's tokens cost, per million, in whatever currency you count in.

    Attributes:
        input: a million tokens that are sent to it.
        output: a million tokens that it answers with; embeddings have none.

    Raises:
        ConfigurationError: a price is no number from 0 on.

    Example:
        >>> Price(input=0.15, output=0.60).of(2_000_000, 500_000)
        0.6
    """

    input: float
    output: float = 0.0

    def __post_init__(self) -> None:
        for name in ("input", "output"):
            value: Any = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0 <= value < math.inf:
                raise ConfigurationError(
                    f"the price of a million {name} tokens is a number from 0 on, not {value!r:.80}"
                )

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """What so many tokens cost."""
        return (input_tokens * self.input + output_tokens * self.output) / MILLION


Prices = Mapping[str, Price | Mapping[str, float]]
"""By the models' names, a `Price` for each, or a mapping with ``input`` and ``output``."""


class PriceTable:
    """Prices by the models' names.

    Args:
        prices: the table.

    Raises:
        ConfigurationError: a price is none.

    Example:
        >>> table = PriceTable({"gpt-4o": Price(2.5, 10), "gpt-4o-mini": {"input": 0.15}})
        >>> table.find("gpt-4o-mini-2024-07-18").input, table.find("o1")
        (0.15, None)
    """

    __slots__ = ("_prices",)

    def __init__(self, prices: Prices) -> None:
        if not isinstance(prices, Mapping):
            raise ConfigurationError(
                f"prices is a mapping from models to prices, not {type(prices).__name__}"
            )
        self._prices = {name: _price(name, price) for name, price in prices.items()}

    def find(self, model: str | None) -> Price | None:
        """The price of a model: by its name, or by that without the date of its release."""
        if model is None or not self._prices:
            return None
        return self._prices.get(model) or self._prices.get(_RELEASE.sub("", model))


def read_prices(path: str) -> dict[str, Any]:
    """Prices from a file of JSON: ``{"gpt-4o": {"input": 2.5, "output": 10}}``.

    Raises:
        ConfigurationError: it cannot be read, or is no object.
    """
    try:
        prices = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the prices in {path!r:.200} cannot be read: {error}") from error
    if not isinstance(prices, dict):
        raise ConfigurationError(f"the prices in {path!r:.200} are no JSON object")
    return prices


def _price(name: Any, price: Any) -> Price:
    if not isinstance(name, str):
        raise ConfigurationError(f"a model's name in prices is a str, not {name!r:.80}")
    if isinstance(price, Price):
        return price
    if not isinstance(price, Mapping) or not {"input"} <= price.keys() <= {"input", "output"}:
        raise ConfigurationError(
            f"the price of {name!r:.80} is {price!r:.80}; accepted are Price(input=..., "
            'output=...) and {"input": ..., "output": ...}, for a million tokens'
        )
    return Price(**price)


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


class SavingsEstimator:
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

    def estimate(self, value: Any) -> Savings | None:
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
