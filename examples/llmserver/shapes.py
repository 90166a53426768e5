"""Answers of the local model server, in the formats of both APIs."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
import random
import struct
import time
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
_ids = itertools.count(1)
_ARGUMENTS = ('{"city":', '"Paris"}')
"""Arguments of a tool call, in the chunks of a stream."""


def make_text(body: Json) -> str:
    """Return the model's answer to the last question."""
    messages = body.get("messages") or body.get("input") or ""
    question = messages if isinstance(messages, str) else messages[-1]["content"]
    if not isinstance(question, str):
        question = " ".join(part.get("text", "") for part in question)
    wanted = body.get("response_format") or (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_object":
        return json.dumps({"city": "Paris"})
    schema = wanted.get("json_schema") or (wanted if "schema" in wanted else None)
    if schema:
        names = schema["schema"]["properties"]
        return json.dumps({name: question if i == 0 else i for i, name in enumerate(names)})
    words = question.split()
    if (body.get("temperature") or 0) > 1:  # answers differ
        words = random.sample(words, random.randint(1, len(words)))  # noqa: S311 - no secret
    return f"You asked {len(words)} words: {' '.join(words)[::-1]} ☕"


def split_into_chunks(body: Json) -> list[str]:
    """Return the model's answer in chunks of a stream; one chunk is empty."""
    first, *rest = make_text(body).split(" ")
    return [first, "", *(f" {word}" for word in rest)]


def make_chat(body: Json) -> Json:
    """Return a chat completion."""
    message: Json = {"role": "assistant", "content": make_text(body), "refusal": None}
    reason = "stop"
    if body.get("tools"):
        name = body["tools"][0]["function"]["name"]
        call = {"id": f"call_{next(_ids)}", "type": "function"}
        call["function"] = {"name": name, "arguments": "".join(_ARGUMENTS)}  # type: ignore[assignment]
        message, reason = message | {"content": None, "tool_calls": [call]}, "tool_calls"
    elif _is_cut(body):
        reason = "length"
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    return _make_chat_head(body, "chat.completion") | {
        "choices": [choice],
        "usage": count_usage(body),
    }


def stream_chat(body: Json) -> Iterator[str]:
    """Yield the events of a streamed chat completion."""
    head = _make_chat_head(body, "chat.completion.chunk")
    deltas: list[Json] = [{"content": word} for word in split_into_chunks(body)]
    if body.get("tools"):
        name = body["tools"][0]["function"]["name"]
        call = {"index": 0, "id": f"call_{next(_ids)}", "type": "function"}
        begun = call | {"function": {"name": name, "arguments": ""}}
        pieces = [{"index": 0, "function": {"arguments": piece}} for piece in _ARGUMENTS]
        deltas = [{"tool_calls": [piece]} for piece in (begun, *pieces)]
    for delta in deltas:
        yield _format_event(
            head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        )
    reason = "tool_calls" if body.get("tools") else "length" if _is_cut(body) else "stop"
    yield _format_event(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _format_event(head | {"choices": [], "usage": count_usage(body)})
    yield "data: [DONE]\n\n"


def count_usage(body: Json) -> Json:
    """Return the token usage; each word is one token."""
    asked, said = len(json.dumps(body).split()), len(split_into_chunks(body))
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def make_embeddings(body: Json) -> Json:
    """Return the embeddings of texts, made from their digests."""
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    data = [
        {"object": "embedding", "index": index, "embedding": _make_vector(text, body)}
        for index, text in enumerate(texts)
    ]
    count = sum(len(str(text).split()) for text in texts)
    used = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": data, "model": body["model"], "usage": used}


def make_response(body: Json) -> Json:
    """Return an answer of the Responses API."""
    part = {"type": "output_text", "text": make_text(body), "annotations": []}
    item = {"type": "message", "id": f"msg_{next(_ids)}", "role": "assistant"}
    item |= {"status": "completed", "content": [part]}  # type: ignore[dict-item]
    return {
        "id": f"resp_{next(_ids)}",
        "object": "response",
        "created_at": time.time(),
        "status": "completed",
        "model": body["model"],
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 7,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": len(split_into_chunks(body)),
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 7 + len(split_into_chunks(body)),
        },
    }


def stream_response(body: Json) -> Iterator[str]:
    """Yield the events of a streamed answer of the Responses API."""
    whole = make_response(body)
    [item] = whole["output"]
    [part] = item["content"]
    place = {"item_id": item["id"], "output_index": 0}
    place_in_it = place | {"content_index": 0}
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    empty = part | {"text": ""}
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "item": item | {"content": []}} | place,
        {"type": "response.content_part.added", "part": empty} | place_in_it,
        *(
            {"type": "response.output_text.delta", "delta": word, "logprobs": []} | place_in_it
            for word in split_into_chunks(body)
        ),
        {"type": "response.output_text.done", "text": part["text"], "logprobs": []} | place_in_it,
        {"type": "response.content_part.done", "part": part} | place_in_it,
        {"type": "response.output_item.done", "item": item} | place,
        {"type": "response.completed", "response": whole},
    ]
    for number, event in enumerate(events):
        yield _format_named_event(event | {"sequence_number": number})


def count_message_tokens(body: Json) -> Json:
    """Return the number of tokens of a question; each word is one."""
    return {"input_tokens": len(json.dumps(body).split())}


def make_batch(body: Json) -> Json:
    """Return a batch of requests that is in progress."""
    kinds = {"object": "batch", "type": "message_batch"}
    return {"id": f"batch_{next(_ids)}", "status": "in_progress", **kinds}


def make_moderations(body: Json) -> Json:
    """Return the moderation of texts."""
    inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
    result = {"flagged": False, "categories": {"hate": False}, "category_scores": {"hate": 0.1}}
    return {"id": f"modr_{next(_ids)}", "model": body["model"], "results": [result] * len(inputs)}


def make_transcription(body: Json) -> Json:
    """Return the text of a sound."""
    return {"text": f"A sound of {body['size']} bytes, heard for the {next(_ids)}. time."}


def make_gemini(body: Json) -> Json:
    """Return an answer of Google's API."""
    return _make_gemini_part(" ".join(_list_gemini_words(body))) | {"responseId": f"{next(_ids)}"}


def stream_gemini(body: Json) -> Iterator[str]:
    """Yield the events of a streamed answer of Google's API; each has a finish reason."""
    for word in _list_gemini_words(body):
        yield _format_event(_make_gemini_part(f"{word} ") | {"responseId": f"{next(_ids)}"})


def make_gemini_embeddings(body: Json) -> Json:
    """Return the embeddings of texts, of Google's API."""
    texts = [json.dumps(request["content"]) for request in body["requests"]]
    return {"embeddings": [{"values": _make_vector(text, {})} for text in texts]}


def _list_gemini_words(body: Json) -> list[str]:
    if (body.get("generationConfig") or {}).get("responseMimeType") == "application/json":
        return ['{"title":', '"Love",', '"number":', "1}"]
    return ["You", "asked", *json.dumps(body["contents"][-1]["parts"]).split()]


def _make_gemini_part(text: str) -> Json:
    content = {"role": "model", "parts": [{"text": text}]}
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 3, "thoughtsTokenCount": 5}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": usage | {"totalTokenCount": 15},
        "modelVersion": "tiny-001",
    }


def make_message(body: Json) -> Json:
    """Return a message of Anthropic's API."""
    content: list[Json] = [{"type": "text", "text": make_text(body)}]
    reason = "max_tokens" if _is_cut(body) else "end_turn"
    if body.get("tools"):
        call = {"type": "tool_use", "id": f"toolu_{next(_ids)}", "name": body["tools"][0]["name"]}
        content, reason = [*content, call | {"input": {"city": "Paris"}}], "tool_use"
    return _make_message_head(body) | {"content": content, "stop_reason": reason}


def stream_message(body: Json) -> Iterator[str]:
    """Yield the events of a streamed message of Anthropic's API."""
    yield _format_named_event({"type": "message_start", "message": _make_message_head(body)})
    block = {"type": "text", "text": ""}
    yield _format_named_event({"type": "content_block_start", "index": 0, "content_block": block})
    for word in split_into_chunks(body):
        delta = {"type": "text_delta", "text": word}
        yield _format_named_event({"type": "content_block_delta", "index": 0, "delta": delta})
    yield _format_named_event({"type": "content_block_stop", "index": 0})
    reason = "max_tokens" if _is_cut(body) else "end_turn"
    if body.get("tools"):
        reason, call = "tool_use", {"type": "tool_use", "id": f"toolu_{next(_ids)}"}
        block = call | {"name": body["tools"][0]["name"], "input": {}}
        yield _format_named_event(
            {"type": "content_block_start", "index": 1, "content_block": block}
        )
        for piece in _ARGUMENTS:
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield _format_named_event({"type": "content_block_delta", "index": 1, "delta": delta})
        yield _format_named_event({"type": "content_block_stop", "index": 1})
    ended = {"stop_reason": reason, "stop_sequence": None}
    used = {"output_tokens": len(split_into_chunks(body))}
    yield _format_named_event({"type": "message_delta", "delta": ended, "usage": used})
    yield _format_named_event({"type": "message_stop"})


def _is_cut(body: Json) -> bool:
    """Return whether the limit on the answer's length is too low for it."""
    return bool(body.get("max_tokens", 100) < len(split_into_chunks(body)))


def _make_chat_head(body: Json, kind: str) -> Json:
    now = int(time.time())
    return {"id": f"chatcmpl-{next(_ids)}", "object": kind, "created": now, "model": body["model"]}


def _make_message_head(body: Json) -> Json:
    return {
        "id": f"msg_{next(_ids)}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": len(split_into_chunks(body))},
    }


def _make_vector(text: Any, body: Json) -> Any:
    digest = hashlib.blake2b(str(text).encode(), digest_size=32).digest()
    raw = [byte - 127.5 for byte in digest]
    length = math.hypot(*raw)
    vector = [value / length for value in raw]
    if body.get("encoding_format") == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return vector


def _format_event(data: Json) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _format_named_event(data: Json) -> str:
    return f"event: {data['type']}\n{_format_event(data)}"
