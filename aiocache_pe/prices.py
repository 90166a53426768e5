"""What tokens cost: the price table that a user gives."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiocache_pe.exceptions import ConfigurationError

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
