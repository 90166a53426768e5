"""Token savings: tokens and money that a hit on a model's response saves.

The number of tokens is read from ``usage``, as the APIs and SDKs of model servers, and most
libraries over them, call it. It is an object or a dict beside ``model``, either in the value itself
or in the chunks of a recorded stream. The money follows from a price table of the user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aiocache_pe.record import Savings
from aiocache_pe.usage.prices import PriceTable, Usage

_INPUT_FIELDS = (
    "prompt_tokens",
    "input_tokens",
    "promptTokenCount",
    "prompt_token_count",
    "inputTokens",
    "prompt_eval_count",
)
_INPUT_DETAIL_FIELDS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_READ_FIELDS = (
    *("cached_tokens", "cache_read", "cache_read_tokens", "prompt_cache_hit_tokens"),
    *("cachedContentTokenCount", "cached_content_token_count"),
)
_WRITE_FIELDS = ("cache_creation", "cache_write_tokens", "cache_creation_tokens")
"""Fields with a part of the input, in the usage or in the details of the input."""
_TIMED_WRITE_FIELDS = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
"""The names in LangChain's details that give that part by lifetimes."""
_OTHER_READ_FIELDS = ("cache_read_input_tokens", "cacheReadInputTokens")
_OTHER_WRITE_FIELDS = ("cache_creation_input_tokens", "cacheWriteInputTokens")
"""Fields of Anthropic's and Amazon's APIs; their input tokens do not include them, but
``prompt_tokens`` of other libraries do."""
_TOOL_FIELDS = ("toolUsePromptTokenCount", "tool_use_prompt_token_count")
"""Fields of Google's API; its number of input tokens does not include them."""

_OUTPUT_FIELDS = (
    "completion_tokens",
    "output_tokens",
    "candidatesTokenCount",
    "candidates_token_count",
    "outputTokens",
    "eval_count",
)
_THOUGHT_FIELDS = ("thoughtsTokenCount", "thoughts_token_count")
"""Fields of Google's API; its number of output tokens does not include them."""
_TOTAL_FIELDS = ("total_tokens", "totalTokenCount", "total_token_count", "totalTokens")
_USAGE_FIELDS = ("usage", "usage_metadata", "usageMetadata")
_MODEL_FIELDS = ("model", "model_name", "modelVersion")
_OLLAMA_FIELDS = ("prompt_eval_count", "eval_count")
"""Fields beside the model, in the responses of Ollama's own API."""
_COHERE_FIELDS = ("billed_units", "tokens")
"""Fields of the usage that hold the counts, in Cohere's own API."""
_ENVELOPE_FIELDS = ("message", "response", "x_groq")
"""Fields of stream events that hold the response so far, or the usage."""

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
        total, model = Usage(), None
        for part in _iter_parts(value):
            usage = _find_field(part, _USAGE_FIELDS)
            model = model or _find_field(part, _MODEL_FIELDS)
            if usage is None and _find_field(part, _OLLAMA_FIELDS) is not None:
                usage = part
            if usage is None or type(usage) in _PLAIN_TYPES:
                continue
            # The last part of a stream reports the final numbers.
            counts = _read_counts(usage)
            if counts.input:
                total = counts._replace(output=total.output)
            if counts.output:
                total = total._replace(output=counts.output)

        if not total.input and not total.output:
            return None
        price = self._prices.find(model if isinstance(model, str) else None)
        return Savings(total.input, total.output, 0.0 if price is None else price.of(total))


def _read_counts(usage: Any) -> Usage:
    """Return the numbers of an object that a server or a library reports."""
    units = _find_field(usage, _COHERE_FIELDS)
    usage = usage if units is None or type(units) in _PLAIN_TYPES else units
    details = _find_field(usage, _INPUT_DETAIL_FIELDS)
    parts = (usage,) if details is None or type(details) in _PLAIN_TYPES else (usage, details)
    read = max(_count(part, _READ_FIELDS) for part in parts)
    written = max(_count(part, _WRITE_FIELDS) for part in parts)
    written = written or sum(map(_to_count, _get_fields(parts[-1], _TIMED_WRITE_FIELDS)))
    other_read, other_written = (
        _count(usage, _OTHER_READ_FIELDS),
        _count(usage, _OTHER_WRITE_FIELDS),
    )
    sent = _count(usage, _INPUT_FIELDS) + _count(usage, _TOOL_FIELDS)
    if _find_field(usage, ("prompt_tokens",)) is None:
        sent += other_read + other_written
    received = _count(usage, _OUTPUT_FIELDS) + _count(usage, _THOUGHT_FIELDS)
    total = _count(usage, _TOTAL_FIELDS)
    if not sent and not received:
        sent = total  # as embeddings and reranking report it
    elif sent:
        received = max(received, total - sent)  # some servers count thoughts in the total only
    read = min(read or other_read, sent)
    return Usage(sent, received, read, min(written or other_written, sent - read))


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


def _count(value: Any, names: tuple[str, ...]) -> int:
    return _to_count(_find_field(value, names))


def _to_count(value: Any) -> int:
    """Return a count, which Cohere's SDK has as a float."""
    return int(value) if type(value) in (int, float) and value > 0 else 0
