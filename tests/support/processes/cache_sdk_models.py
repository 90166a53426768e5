"""Process that caches models of the OpenAI and Anthropic SDKs by their annotations.

``python -m tests.support.processes.cache_sdk_models DIRECTORY ORDER`` calls four functions, each
five times at once, in the order of these letters of their names: ``c``, ``p``, ``m``, ``s``. The
output is the number of requests that were sent, and the results.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx
import httpx2
from anthropic import AsyncAnthropic
from anthropic.types import Message
from anthropic.types.parsed_message import ParsedMessage
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ParsedChatCompletion
from pydantic import BaseModel

from aiocache_pe import CacheManager, cached

requests: list[str] = []
ASK: Any = [{"role": "user", "content": "Who?"}]
PERSON = '{"name":"Ada"}'
ANSWERS = {
    "/v1/chat/completions": {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": PERSON, "new_field": {"of": ["1"]}},
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    },
    "/v1/messages": {
        "id": "1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": PERSON}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
}


class Person(BaseModel):
    """The structure that is requested."""

    name: str


def make_client(library: Any) -> Any:
    """Return a client of a version of httpx that counts requests and answers them itself."""

    def answer(request: Any) -> Any:
        requests.append(request.url.path)
        return library.Response(200, json=ANSWERS[request.url.path])

    return library.AsyncClient(transport=library.MockTransport(answer))


async def main(directory: str, order: str) -> None:
    """Call the functions, and print the results."""
    openai = AsyncOpenAI(api_key="key", http_client=make_client(httpx))
    anthropic: Any = AsyncAnthropic(api_key="key", http_client=make_client(httpx2))
    async with CacheManager(directory=directory) as cache:

        async def chat() -> ChatCompletion:
            return await openai.chat.completions.create(model="m", messages=ASK)

        async def parsed() -> ParsedChatCompletion[Person]:
            return await openai.chat.completions.parse(
                model="m", messages=ASK, response_format=Person
            )

        async def message() -> Message:
            created: Message = await anthropic.messages.create(
                model="m", messages=ASK, max_tokens=9
            )
            return created

        async def structured() -> ParsedMessage[Person]:
            created: ParsedMessage[Person] = await anthropic.messages.parse(
                model="m", messages=ASK, max_tokens=9, output_format=Person
            )
            return created

        functions = {each.__name__[0]: each for each in (chat, parsed, message, structured)}
        results: dict[str, list[str]] = {}
        for name in order:
            ask: Any = cached(cache=cache)(functions[name])
            found = await asyncio.gather(*[ask() for _ in range(5)])
            results[name] = sorted(
                {f"{type(each)} {each!r} {each.model_dump_json(warnings=False)}" for each in found}
            )
        errors = (await cache.get_stats()).errors
    sys.stdout.write(json.dumps([len(requests), errors, results]))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
