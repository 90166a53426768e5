"""What is cached and under which keys: the same for every contender."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any, Final, Protocol

TTL: Final = 3600
"""Seconds. Every contender gets a TTL, because every cache in use has one."""

ANSWER: Final = (
    "The supplier may end the contract with ninety days' notice, but then only at the end of "
    "a calendar quarter. Liability is capped at the fees of the last twelve months, except for "
    "breaches of confidentiality. Data stays in the EU, and the annex names the two data centres."
)
"""What the decorated functions return: text, so nothing has to be copied for safety."""

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
"""A chat completion as an API returns it: nested, 800 bytes as compact JSON."""

_TURN: Final = ANSWER + " Please check this against the annex, and say which clause settles it. "


def chat(about: str) -> list[dict[str, str]]:
    """The messages of a chat call: 4 of them, 2.4 kB as compact JSON."""
    roles = ("system", "user", "assistant", "user")
    return [{"role": role, "content": f"{about}: {_TURN * 2}"[:565]} for role in roles]


def chats(count: int, about: str = "contract") -> list[list[dict[str, str]]]:
    """So many of them, no two alike, and none sharing its text with another."""
    return [chat(f"{about} {number}") for number in range(count)]


READ: Final = 4000
BEFORE: Final = 2000

PROMPT: Final = "Summarise the attached contract in three sentences."


class Ask(Protocol):
    """The function that the decorator rows wrap: scalars by position, one by keyword."""

    async def __call__(
        self, prompt: str, max_tokens: int, temperature: float, *, top_p: float
    ) -> str:
        """Answer a prompt."""


class BlockingAsk(Protocol):
    """The same, blocking."""

    def __call__(self, prompt: str, max_tokens: int, temperature: float, *, top_p: float) -> str:
        """Answer a prompt."""


class Model:
    """A stand-in for the slow call, which remembers calls: a miss cannot pass for a hit."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def function(self) -> Ask:
        """A function to decorate."""

        async def ask(
            prompt: str, max_tokens: int, temperature: float, *, top_p: float = 1.0
        ) -> str:
            return self.answer(prompt, max_tokens, temperature, top_p)

        return ask

    def blocking_function(self) -> BlockingAsk:
        """The same for decorators of blocking functions."""

        def ask(prompt: str, max_tokens: int, temperature: float, *, top_p: float = 1.0) -> str:
            return self.answer(prompt, max_tokens, temperature, top_p)

        return ask

    def answer(self, *arguments: object) -> str:
        """Answer, slowly one must imagine."""
        self.calls.append(arguments)
        return ANSWER


def keys(count: int, prefix: str = "completion", start: int = 0) -> list[str]:
    """``count`` different keys, always the same ones for the same prefix and start."""
    return [f"{prefix}:{number:07d}" for number in range(start, start + count)]


def to_read(n: int) -> list[str]:
    """The keys that ``n`` reads go round; fewer in a quick run, as filling takes its time too."""
    return keys(min(READ, n))


def before(n: int) -> list[str]:
    """Keys that are there before ``n`` new ones are timed: a store in use has its folders."""
    return keys(min(BEFORE, n), "before")


def spread(total: int, count: int) -> list[str]:
    """``count`` of the first ``total`` keys, evenly apart, so that no corner is favoured."""
    apart = max(1, total // count)
    return [key for number in range(0, total, apart) for key in keys(1, start=number)][:count]


def around(some: Sequence[str], n: int) -> list[str]:
    """``n`` keys, going round through ``some`` as often as it takes."""
    return list(islice(cycle(some), n))
