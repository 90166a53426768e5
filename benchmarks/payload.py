"""Values, keys and functions that every contender caches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle, islice
from typing import Any, Final, TypeAlias

TTL: Final = 3600
"""Lifetime of every entry in seconds. Every contender gets one, as every cache in use has one."""

ANSWER: Final = (
    "The supplier may end the contract with ninety days' notice, but then only at the end of "
    "a calendar quarter. Liability is capped at the fees of the last twelve months, except for "
    "breaches of confidentiality. Data stays in the EU, and the annex names the two data centres."
)
"""Result of the decorated functions: text, which no cache has to copy for safety."""

COMPLETION: Final[dict[str, Any]] = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion",
    "created": 1741569952,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": ANSWER,
                "refusal": None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 1187,
        "completion_tokens": 58,
        "total_tokens": 1245,
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    },
    "service_tier": "default",
    "system_fingerprint": "fp_44709d6fcb",
}
"""Chat completion as an API returns it: nested, 800 bytes as compact JSON."""

Ask: TypeAlias = Callable[..., Awaitable[str]]
BlockingAsk: TypeAlias = Callable[..., str]
PROMPT: Final = "Summarise the attached contract in three sentences."

_TURN: Final = ANSWER + " Please check this against the annex, and say which clause settles it. "


class Model:
    """Model service that counts its calls, so that a miss cannot pass for a hit."""

    def __init__(self) -> None:
        self.calls = 0

    def make_function(self) -> Ask:
        """Return an async function to decorate."""

        async def ask(
            prompt: str, max_tokens: int, temperature: float, *, top_p: float = 1.0
        ) -> str:
            self.calls += 1
            return ANSWER

        return ask

    def make_blocking_function(self) -> BlockingAsk:
        """Return a plain function to decorate."""

        def ask(prompt: str, max_tokens: int, temperature: float, *, top_p: float = 1.0) -> str:
            self.calls += 1
            return ANSWER

        return ask


def make_chats(count: int, about: str = "contract") -> list[list[dict[str, str]]]:
    """Return the messages of ``count`` chat calls.

    Each call has four messages and 2.4 kB as compact JSON. No two calls share a text.
    """
    roles = ("system", "user", "assistant", "user")
    return [
        [{"role": role, "content": f"{about} {number}: {_TURN * 2}"[:565]} for role in roles]
        for number in range(count)
    ]


def make_keys(count: int, prefix: str = "completion", start: int = 0) -> list[str]:
    """Return ``count`` different keys, always the same ones for a prefix and a start."""
    return [f"{prefix}:{number:07d}" for number in range(start, start + count)]


def pick_keys(total: int, count: int) -> list[str]:
    """Return ``count`` of the first ``total`` keys at even distances."""
    distance = max(1, total // count)
    return [make_keys(1, start=number)[0] for number in range(0, total, distance)][:count]


def repeat_keys(keys: Sequence[str], n: int) -> list[str]:
    """Return ``n`` keys by going through ``keys`` as often as needed."""
    return list(islice(cycle(keys), n))
