"""Token savings: tokens and money that a hit on a model's response saves.

The number of tokens is read from ``usage``, as the APIs and SDKs of model servers, and most
libraries over them, call it. It is an object or a dict beside ``model``, either in the value itself
or in the chunks of a recorded stream. The money follows from a price table of the user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aiocache_pe.record import Savings
from aiocache_pe.usage.prices import PriceTable

_INPUT_FIELDS = (
    "prompt_tokens",
    "input_tokens",
    "promptTokenCount",
    "prompt_token_count",
    "inputTokens",
)
_CACHE_FIELDS = ("cache_creation_input_tokens", "cache_read_input_tokens")
"""Fields of Anthropic's API; its ``input_tokens`` do not include them."""

_OUTPUT_FIELDS = (
    "completion_tokens",
    "output_tokens",
    "candidatesTokenCount",
    "candidates_token_count",
    "outputTokens",
)
_THOUGHT_FIELDS = ("thoughtsTokenCount", "thoughts_token_count")
"""Fields of Google's API; its number of output tokens does not include them."""
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
    """Estimator of the savings of a hit on a response; tokens without a price count, too.

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
            fields = [_find_field(usage, _OUTPUT_FIELDS), _find_field(usage, _THOUGHT_FIELDS)]
            output_tokens = sum(map(_to_count, fields)) or output_tokens

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
    return next((field for field in _get_fields(value, names) if field is not None), None)


def _get_fields(value: Any, names: tuple[str, ...]) -> Iterator[Any]:
    if type(value) is dict or isinstance(value, Mapping):  # the check of the ABC takes longer
        return map(value.get, names)
    return (getattr(value, name, None) for name in names)


def _to_count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0
