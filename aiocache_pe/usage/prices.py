"""Prices of a model's tokens, by the name of the model."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.store_keys import describe

MILLION = 1_000_000
_RELEASE = re.compile(
    r"[-@:](\d{4}-\d{2}-\d{2}|\d{2}-\d{4}|\d{2}-\d{2}|\d{8}|\d{6}|\d{3,4}|latest|v\d+:\d+)$"
)
"""The end of a model's name that tells its releases apart: a date, a number or ``latest``."""


class Usage(NamedTuple):
    """The token counts of a response.

    Attributes:
        input: tokens that are sent to the model, those of the next two fields included.
        output: tokens that the model generates, with those of its thoughts.
        cached_input: the part of the input that the provider read from a cache of its own.
        cache_write: the part of the input that the provider wrote to its cache.
    """

    input: int = 0
    output: int = 0
    cached_input: int = 0
    cache_write: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model's tokens, per million, in any currency.

    Attributes:
        input: price of a million tokens that are sent to the model.
        output: price of a million tokens that the model generates; embeddings have none.
        cached_input: price of a million input tokens that the provider read from its own cache;
            ``None`` for the price of the input.
        cache_write: price of a million input tokens that the provider wrote to its own cache;
            ``None`` for the price of the input.

    Raises:
        ConfigurationError: a price is not a number from 0 on.

    Example:
        >>> Price(input=0.15, output=0.60).of(Usage(2_000_000, 500_000))
        0.6
        >>> Price(input=3, cached_input=0.3).of(Usage(input=1_000_000, cached_input=1_000_000))
        0.3
    """

    input: float
    output: float = 0.0
    cached_input: float | None = None
    cache_write: float | None = None

    def __post_init__(self) -> None:
        for name in _FIELDS:
            value: Any = getattr(self, name)
            if value is None and name in _OPTIONAL_FIELDS:
                continue
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            number: Any = value if is_number else math.nan
            if not 0 <= number < math.inf:
                raise ConfigurationError(
                    f"{name} price must be a finite number of at least 0, for a million tokens; "
                    f"got {describe(value)}"
                )

    def of(self, usage: Usage) -> float:
        """Return the cost of a response."""
        read = self.input if self.cached_input is None else self.cached_input
        write = self.input if self.cache_write is None else self.cache_write
        plain = usage.input - usage.cached_input - usage.cache_write
        cost = plain * self.input + usage.cached_input * read + usage.cache_write * write
        return (cost + usage.output * self.output) / MILLION


_FIELDS = tuple(field.name for field in fields(Price))
_OPTIONAL_FIELDS = ("cached_input", "cache_write")


Prices = Mapping[str, Price | Mapping[str, float]]
"""A `Price` for each model name, or a mapping with the fields of a `Price`."""


class PriceTable:
    """Prices by model name.

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
                f"prices must be a mapping from model names to prices; got {describe(prices)}"
            )
        self._prices = {name: _parse_price(name, price) for name, price in prices.items()}

    def find(self, model: str | None) -> Price | None:
        """Return the price of a model, by the longest part of its name without its release."""
        if model is None or not self._prices:
            return None
        price = self._prices.get(model)
        while price is None and (release := _RELEASE.search(model)):
            model = model[: release.start()]
            price = self._prices.get(model)
        return price


def read_prices(path: str) -> dict[str, Any]:
    """Read prices from a JSON file: ``{"gpt-4o": {"input": 2.5, "output": 10}}``.

    Raises:
        ConfigurationError: the file cannot be read, or it holds no object.
    """
    try:
        prices = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"prices in {path!r:.200} cannot be read: {error}") from error
    if not isinstance(prices, dict):
        raise ConfigurationError(
            f"prices in {path!r:.200} must be a JSON object from model names to prices; "
            f"got {type(prices).__name__}"
        )
    return prices


def _parse_price(name: Any, price: Any) -> Price:
    if not isinstance(name, str):
        raise ConfigurationError(f"a model name in prices must be a str; got {describe(name)}")
    if isinstance(price, Price):
        return price
    if not isinstance(price, Mapping) or not {"input"} <= price.keys() <= set(_FIELDS):
        raise ConfigurationError(
            f"price of {name!r:.80} must be Price(input=..., output=...) or a mapping with input "
            f"and any of {', '.join(_FIELDS[1:])}, for a million tokens; got {price!r:.80}"
        )
    return Price(**price)
