"""Token savings: tokens and money that a hit on a model's response saves.

The number of tokens is read from ``usage``, as the APIs and SDKs of model servers, and most
libraries over them, call it. It is an object or a dict beside ``model``, either in the value itself
or in the chunks of a recorded stream. The money follows from a price table of the user.
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
    """The price of a model's tokens, per million, in any currency.

    Attributes:
        input: price of a million tokens that are sent to the model.
        output: price of a million tokens that the model generates; embeddings have none.

    Raises:
        ConfigurationError: a price is not a number from 0 on.

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
                    f"{name} price must be a finite number of at least 0, for a million tokens; "
                    f"got {type(value).__name__}: {value!r:.80}"
                )

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """Return the cost of a number of tokens."""
        return (input_tokens * self.input + output_tokens * self.output) / MILLION


Prices = Mapping[str, Price | Mapping[str, float]]
"""A `Price` for each model name, or a mapping with ``input`` and ``output``."""


class PriceTable:
    """Prices by model name.

    Args:
        prices: the prices.

    Raises:
        ConfigurationError: a name or a price is invalid.

    Example:
        >>> table = PriceTable({"gpt-4o": Price(2.5, 10), "gpt-4o-mini": {"input": 0.15}})
        >>> table.find("gpt-4o-mini-2024-07-18").input, table.find("o1")
        (0.15, None)
    """

    __slots__ = ("_prices",)

    def __init__(self, prices: Prices) -> None:
        if not isinstance(prices, Mapping):
            raise ConfigurationError(
                "prices must be a mapping from model names to prices; "
                f"got {type(prices).__name__}: {prices!r:.80}"
            )
        self._prices = {name: _parse_price(name, price) for name, price in prices.items()}

    def find(self, model: str | None) -> Price | None:
        """Return the price of a model, by its name with or without the date of its release."""
        if model is None or not self._prices:
            return None
        return self._prices.get(model) or self._prices.get(_RELEASE.sub("", model))


def read_prices(path: str) -> dict[str, Any]:
    """Read prices from a JSON file: ``{"gpt-4o": {"input": 2.5, "output": 10}}``.

    Raises:
        ConfigurationError: the file cannot be read, or it holds no object.
    """
    try:
        prices = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"prices in {path!r:.200} cannot be read: {error}") from error
    if not isinstance(prices, dict):
        raise ConfigurationError(
            f"prices in {path!r:.200} must be a JSON object from model names to prices; "
            f"got {type(prices).__name__}"
        )
    return prices


def _parse_price(name: Any, price: Any) -> Price:
    if not isinstance(name, str):
        raise ConfigurationError(
            f"a model name in prices must be a str; got {type(name).__name__}: {name!r:.80}"
        )
    if isinstance(price, Price):
        return price
    if not isinstance(price, Mapping) or not {"input"} <= price.keys() <= {"input", "output"}:
        raise ConfigurationError(
            f"price of {name!r:.80} must be Price(input=..., output=...) or "
            f'{{"input": ..., "output": ...}}, for a million tokens; got {price!r:.80}'
        )
    return Price(**price)


_INPUT_FIELDS = ("prompt_tokens", "input_tokens", "promptTokenCount", "inputTokens")
_CACHE_FIELDS = ("cache_creation_input_tokens", "cache_read_input_tokens")
"""Fields of Anthropic's API; its ``input_tokens`` do not include them."""

_OUTPUT_FIELDS = ("completion_tokens", "output_tokens", "candidatesTokenCount", "outputTokens")
_USAGE_FIELDS = ("usage", "usage_metadata", "usageMetadata")
_MODEL_FIELDS = ("model", "model_name", "modelVersion")
_ENVELOPE_FIELDS = ("message", "response")
"""Fields of stream events that hold the response so far."""

_PLAIN_TYPES = frozenset(
    (str, bytes, int, float, bool, complex, type(None), list, tuple, set, frozenset)
)
"""Types of values without fields."""

_FIRST_CHUNKS, _LAST_CHUNKS = 2, 3  # the chunks of a stream that can hold the usage


class SavingsEstimator:
    """Estimator of the savings of a hit on a response.

    Args:
        prices: the prices of tokens; tokens without a price are counted all the same.

    Example:
        >>> prices = PriceTable({"small": {"input": 1.0, "output": 2.0}})
        >>> usage = {"prompt_tokens": 10, "completion_tokens": 5}
        >>> SavingsEstimator(prices).estimate({"model": "small", "usage": usage})
        Savings(input_tokens=10, output_tokens=5, money=2e-05)
    """

    __slots__ = ("_prices",)

    def __init__(self, prices: PriceTable) -> None:
        self._prices = prices

    def estimate(self, value: Any) -> Savings | None:
        """Return the savings of each hit on a value; ``None`` if it reports no usage."""
        if type(value) in _PLAIN_TYPES:
            return None
        try:
            return self._read_usage(value)
        except Exception:  # noqa: BLE001 - an attribute of a user's object may run any code
            return None

    def _read_usage(self, value: Any) -> Savings | None:
        input_tokens = output_tokens = 0
        model: Any = None
        for part in _iter_parts(value):
            usage = _find_field(part, _USAGE_FIELDS)
            model = model or _find_field(part, _MODEL_FIELDS)
            if usage is None or type(usage) in _PLAIN_TYPES:
                continue
            # The last part of a stream reports the final numbers.
            fields = [_find_field(usage, _INPUT_FIELDS), *_get_fields(usage, _CACHE_FIELDS)]
            input_tokens = sum(map(_to_count, fields)) or input_tokens
            output_tokens = _to_count(_find_field(usage, _OUTPUT_FIELDS)) or output_tokens

        if not input_tokens and not output_tokens:
            return None
        price = self._prices.find(model if isinstance(model, str) else None)
        money = 0.0 if price is None else price.of(input_tokens, output_tokens)
        return Savings(input_tokens, output_tokens, money)


def _iter_parts(value: Any) -> Iterator[Any]:
    """Yield the value, or some chunks of a recorded stream and the responses in them."""
    yield value
    chunks = value.get("chunks") if type(value) is dict else None
    if type(chunks) is list:
        for chunk in [*chunks[:_FIRST_CHUNKS], *chunks[_FIRST_CHUNKS:][-_LAST_CHUNKS:]]:
            if type(chunk) not in _PLAIN_TYPES:
                responses = _get_fields(chunk, _ENVELOPE_FIELDS)
                yield from (response for response in responses if response is not None)
                yield chunk


def _find_field(value: Any, names: tuple[str, ...]) -> Any:
    """Return the first field that is not ``None``."""
    return next((field for field in _get_fields(value, names) if field is not None), None)


def _get_fields(value: Any, names: tuple[str, ...]) -> Iterator[Any]:
    if type(value) is dict or isinstance(value, Mapping):  # the check of the ABC takes longer
        return map(value.get, names)
    return map(partial(_get_attribute, value), names)


def _get_attribute(value: Any, name: str) -> Any:
    return getattr(value, name, None)


def _to_count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0
