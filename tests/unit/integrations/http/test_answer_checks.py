"""Checks of answers: each API keeps what is whole and right, and refuses everything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aiocache_pe.integrations.http.answer_checks import APIS, OTHER, AnswerCheck, check_answer
from aiocache_pe.usage.prices import PriceTable
from aiocache_pe.usage.savings import SavingsEstimator
from examples.llmserver import shapes

BODY: dict[str, Any] = {"model": "small", "messages": [{"role": "user", "content": "Why so?"}]}
USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 3}
JSON, EVENTS = "application/json", "text/event-stream"
VECTOR = [0.5, 0.25]
TOOLS = {"tools": [{"type": "function", "name": "f", "function": {"name": "f"}}]}

Json = dict[str, Any]


def make_gemini(reason: str | None = "STOP", text: str = "Hi", **more: Any) -> Json:
    candidate: Json = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    return {"candidates": [candidate], "usageMetadata": USAGE, "modelVersion": "small"} | more


def make_events(*parts: Json) -> str:
    return "".join(f"data: {json.dumps(part)}\r\n\r\n" for part in parts)


def check(
    api: str, answer: Any, request: Json = BODY, kind: str = "", *, reached_end: bool = True
) -> AnswerCheck:
    """Check an answer: JSON, or the text of a stream."""
    is_text = isinstance(answer, str)
    text = answer if is_text else json.dumps(answer)
    content_type = kind or (EVENTS if is_text else JSON)
    return check_answer(
        APIS.get(api, OTHER), request, content_type, text.encode(), reached_end=reached_end
    )


def make_text_completion(**more: Any) -> Json:
    return {"choices": [{"text": "Hi", "index": 0, "finish_reason": "stop"} | more]}


GEMINI_THOUGHT = {
    "content": {"parts": [{"text": "Hm", "thought": True}, {"text": ""}]},
    "finishReason": "STOP",
}
GEMINI_SIGNATURE = {
    "content": {"parts": [{"text": "", "thoughtSignature": "AAAA"}]},
    "finishReason": "STOP",
}
WHOLE: dict[str, Any] = {
    "chat completions": shapes.make_chat(BODY),
    "completions": make_text_completion(),
    "responses": shapes.make_response(BODY),
    "messages": shapes.make_message(BODY),
    "token counts": {"input_tokens": 3},
    "embeddings": shapes.make_embeddings({"model": "e", "input": "a"}),
    "Ollama embeddings": {"embedding": VECTOR},
    "moderations": {"results": [{"flagged": False, "categories": {"hate": False}}]},
    "rerank": {"results": [{"index": 0, "relevance_score": 0.5}]},
    "Gemini": make_gemini(),
    "Gemini embedding": {"embedding": {"values": VECTOR}},
    "Gemini embeddings": {"embeddings": [{"values": VECTOR}]},
}
STREAMED: dict[str, str] = {
    "chat completions": "".join(shapes.stream_chat(BODY)),
    "completions": make_events(
        make_text_completion(finish_reason=None), make_text_completion(text="")
    )
    + "data: [DONE]\n\n",
    "responses": "".join(shapes.stream_response(BODY)),
    "messages": "".join(shapes.stream_message(BODY)),
    "Gemini": make_events(make_gemini(None), make_gemini("STOP", "")),
}


def test_every_api_keeps_its_whole_answer() -> None:
    assert WHOLE.keys() == APIS.keys()
    assert {name: check(name, answer).refusal for name, answer in WHOLE.items()} == dict.fromkeys(
        APIS, ""
    )


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_is_kept_only_with_all_its_events(name: str) -> None:
    text = STREAMED[name]
    assert check(name, text)[:2] == ("", False)
    separator = "\r\n\r\n" if "\r" in text else "\n\n"
    events = [f"{event}\n\n" for event in text.replace("[DONE]\n\n", "[DONE]").split(separator)]
    for number in range(len(events) - 1):
        # A client that closes early and a server that closes early leave the same text.
        assert check(name, "".join(events[:number]), reached_end=False).refusal, number


@pytest.mark.parametrize("name", APIS)
@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        "text",
        None,
        {"detail": "not found"},
        {"message": "overloaded", "code": 529},
        {"error": {"message": "overloaded"}},
        {"error": "overloaded"},
        {"type": "error", "error": {"type": "overloaded_error"}},
        {"object": "error", "message": "no such model", "code": 404},
        {"choices": None},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": None, "finish_reason": "stop"}]},
        {"data": []},
        {"data": [{"embedding": []}]},
        {"data": [{"embedding": [0.1, None]}]},
        {"data": [{"embedding": ""}]},
        {"embedding": []},
        {"embeddings": []},
        {"embedding": {"values": []}},
        {"results": []},
        {"results": [{}]},
        {"candidates": []},
        {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": USAGE},
        {"input_tokens": None},
        {"type": "message", "content": [], "stop_reason": "end_turn"},
        {"object": "response", "status": "completed", "output": []},
        {"object": "response", "status": "queued", "output": [{"type": "message"}]},
    ],
)
def test_no_api_keeps_an_answer_that_lacks_a_part(name: str, answer: Any) -> None:
    assert check(name, json.dumps(answer), kind=JSON).refusal


@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize(
    "event",
    [
        'event: error\ndata: {"message": "overloaded"}\n\n',
        'data: {"error": {"message": "overloaded"}}\n\n',
        'data: {"type": "error", "message": "overloaded"}\n\n',
        "data: {not json}\n\n",
    ],
)
def test_a_stream_with_an_error_is_not_kept(name: str, event: str) -> None:
    text = STREAMED[name]
    first, rest = text.split("\r\n\r\n" if "\r" in text else "\n\n", 1)
    assert check(name, f"{first}\n\n{event}{rest}").refusal
    assert check(name, event).refusal
    assert check(name, event + "data: [DONE]\n\n").refusal


@pytest.mark.parametrize("name", ["chat completions", "completions"])
@pytest.mark.parametrize(
    "reason",
    [
        "error",
        "insufficient_system_resource",
        "abort",
        "content_filter",
        "MALFORMED_FUNCTION_CALL",
        "unheard_of",
    ],
)
def test_a_choice_that_ended_in_an_unknown_way_is_not_kept(name: str, reason: str) -> None:
    for shape in (WHOLE[name], STREAMED[name]):
        text = shape if isinstance(shape, str) else json.dumps(shape)
        assert '"stop"' in text
        changed = text.replace('"stop"', json.dumps(reason))
        kind = EVENTS if text is shape else JSON
        assert reason in check(name, changed, kind=kind).refusal
        assert check(name, text.replace('"stop"', "null"), kind=kind).refusal


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("messages", '"end_turn"', '"refusal"'),
        ("messages", '"end_turn"', "null"),
        ("Gemini", '"STOP"', '"MALFORMED_FUNCTION_CALL"'),
        ("Gemini", '"STOP"', '"SAFETY"'),
        ("Gemini", '"STOP"', '"OTHER"'),
        ("Gemini", '"STOP"', "null"),
        ("responses", '"status": "completed"', '"status": "failed"'),
        ("responses", '"status": "completed"', '"status": "in_progress"'),
        ("responses", '"status": "completed"', '"status": "incomplete"'),
    ],
)
def test_an_answer_that_failed_or_was_filtered_is_not_kept(name: str, old: str, new: str) -> None:
    for shape in (WHOLE[name], STREAMED[name]):
        text = shape if isinstance(shape, str) else json.dumps(shape)
        assert old in text
        kind = EVENTS if text is shape else JSON
        assert check(name, text.replace(old, new), kind=kind).refusal


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        (
            "chat completions",
            {
                "choices": [
                    {"message": {"content": "Hi"}, "finish_reason": "stop", "error": {"c": 1}}
                ]
            },
        ),
        (
            "chat completions",
            {
                "choices": [
                    {"message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}
                ]
            },
        ),
        ("messages", shapes.make_message(BODY) | {"container": {"id": "c"}}),
        ("messages", shapes.make_message(BODY) | {"content": [{"type": "text", "text": ""}]}),
        (
            "messages",
            shapes.make_message(BODY)
            | {
                "content": [
                    {
                        "type": "web_search_tool_result",
                        "content": {"type": "web_search_tool_result_error", "error_code": "x"},
                    }
                ]
            },
        ),
        ("responses", shapes.make_response(BODY) | {"conversation": {"id": "conv"}}),
        (
            "responses",
            shapes.make_response(BODY) | {"output": [{"type": "mcp_call", "error": "refused"}]},
        ),
        (
            "responses",
            shapes.make_response(BODY)
            | {"output": [{"type": "code_interpreter_call", "status": "failed"}]},
        ),
        ("Gemini", make_gemini("STOP", "")),
    ],
)
def test_an_error_or_nothing_inside_an_answer_is_not_kept(name: str, answer: Json) -> None:
    assert check(name, answer).refusal


def make_chat(reason: str = "stop", index: int = 0, **message: Any) -> Json:
    return {"choices": [{"index": index, "message": message, "finish_reason": reason}]}


def make_chat_stream(*parts: Json, reason: str = "stop") -> str:
    choices: list[Json] = [{"delta": part} | {"index": part.pop("at", 0)} for part in parts]
    ends = [{"delta": {}, "index": at, "finish_reason": reason} for at in range(2)]
    last = max(choice["index"] for choice in choices) + 1
    events = [{"choices": [each]} for each in [*choices, *ends[:last]]]
    return make_events(*events) + "data: [DONE]\n\n"


THOUGHTS: list[tuple[str, Any]] = [
    ("chat completions", make_chat(content="", reasoning_content="Hm")),
    ("chat completions", make_chat(content=None, reasoning="Hm", reasoning_details=[{"a": 1}])),
    ("chat completions", make_chat(content="", annotations=[], name="bot", prefix=True)),
    ("chat completions", make_chat_stream({"reasoning_content": "Hm"}, {"content": ""})),
    ("chat completions", make_chat_stream({"reasoning": "Hm"})),
    ("messages", shapes.make_message(BODY) | {"content": [{"type": "thinking", "thinking": "Hm"}]}),
    (
        "messages",
        STREAMED["messages"]
        .replace('{"type": "text", "text": ""}', '{"type": "thinking", "thinking": ""}')
        .replace("text_delta", "thinking_delta")
        .replace('"text": "', '"thinking": "'),
    ),
    ("responses", shapes.make_response(BODY) | {"output": [{"type": "reasoning", "summary": []}]}),
    (
        "responses",
        shapes.make_response(BODY)
        | {"output": [{"type": "message", "content": [{"type": "output_text", "text": ""}]}]},
    ),
    ("Gemini", make_gemini() | {"candidates": [GEMINI_THOUGHT]}),
    ("Gemini", make_events(make_gemini(None, ""), {"candidates": [GEMINI_THOUGHT]})),
    ("Gemini", make_gemini() | {"candidates": [GEMINI_SIGNATURE]}),
]


@pytest.mark.parametrize(("name", "answer"), THOUGHTS)
def test_an_answer_that_consists_of_thoughts_is_not_kept(name: str, answer: Any) -> None:
    assert check(name, answer).refusal.startswith("no content")


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        # DeepSeek, OpenRouter, vLLM, Ollama: a thought beside the answer, or a call without content
        ("chat completions", make_chat(content="Hi", reasoning_content="Hm")),
        ("chat completions", make_chat("tool_calls", content=None, tool_calls=[CALL])),
        ("chat completions", make_chat("stop", content="", tool_calls=[CALL], reasoning="Hm")),
        ("chat completions", make_chat("function_call", content=None, function_call={"name": "f"})),
        ("chat completions", make_chat(content=None, refusal="No.")),
        ("chat completions", make_chat(content=None, audio={"id": "a", "data": "AA=="})),
        ("chat completions", make_chat(content="", images=[{"type": "image_url"}])),
        ("chat completions", make_chat(content=[{"type": "text", "text": "Hi"}])),  # Mistral
        ("chat completions", make_chat("eos_token", content="Hi")),  # TGI
        ("chat completions", make_chat("eos", content="Hi")),  # Together
        ("chat completions", make_chat_stream({"reasoning_content": "Hm"}, {"content": "Hi"})),
        ("chat completions", make_chat_stream({"tool_calls": [CALL]}, reason="tool_calls")),
        # Azure: the results of filters before the first and after the last part
        (
            "chat completions",
            make_events({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
            + make_chat_stream({"content": "Hi"}).replace(
                "data: [DONE]",
                make_events(
                    {"choices": [{"index": 0, "content_filter_offsets": {"start_offset": 1}}]}
                )
                + "data: [DONE]",
            ),
        ),
        # Groq and Moonshot: token counts in other places
        (
            "chat completions",
            make_events({"choices": [], "x_groq": {"id": "r"}})
            + make_chat_stream({"content": "Hi"}),
        ),
        # DeepSeek, OpenRouter: comments and empty lines keep the connection
        ("chat completions", ": keep-alive\n\n\n" + make_chat_stream({"content": "Hi"})),
        ("messages", shapes.make_message(BODY | TOOLS | {"max_tokens": 9})),
        ("Gemini", make_events(make_gemini(None, "Hi"), {"candidates": [GEMINI_SIGNATURE]})),
    ],
)
def test_answers_of_many_servers_are_kept(name: str, answer: Any) -> None:
    assert check(name, answer).refusal == ""


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        # OpenRouter, vLLM, Groq, MiniMax, LiteLLM: errors in a response with status 200
        ("chat completions", make_chat("error", content="Hi")),
        ("chat completions", make_chat("abort", content="Hi")),
        ("chat completions", make_chat("load", content="Hi")),
        ("chat completions", make_chat("repetition", content="Hi")),
        ("chat completions", make_chat(content="Hi") | {"error": {"code": 502}}),
        ("chat completions", {"choices": None, "base_resp": {"status_code": 1008}}),
        (
            "chat completions",
            make_events({"choices": [], "x_groq": {"error": "over capacity"}})
            + make_chat_stream({"content": "Hi"}),
        ),
        (
            "chat completions",
            make_events({"object": "error", "message": "CUDA out of memory", "code": 500})
            + "data: [DONE]\n\n",
        ),
        # one of two choices has no content
        (
            "chat completions",
            make_chat_stream({"content": "Hi"}, {"at": 1, "content": ""}),
        ),
        # a call of a tool is announced, but missing
        ("chat completions", make_chat("tool_calls", content="I look it up.")),
        ("chat completions", make_chat("tool_calls", content="Hi", tool_calls=[])),
        ("chat completions", make_chat_stream({"content": "Hi"}, reason="tool_calls")),
        ("messages", shapes.make_message(BODY) | {"stop_reason": "tool_use"}),
        ("messages", STREAMED["messages"].replace("end_turn", "tool_use")),
        # a tool of the server failed
        (
            "messages",
            shapes.make_message(BODY)
            | {
                "content": [
                    {"type": "mcp_tool_result", "is_error": True, "content": []},
                    {"type": "text", "text": "I could not."},
                ]
            },
        ),
        (
            "Gemini",
            make_gemini()
            | {
                "candidates": [
                    make_gemini()["candidates"][0]
                    | {
                        "urlContextMetadata": {
                            "urlMetadata": [
                                {"urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"},
                                {"urlRetrievalStatus": "URL_RETRIEVAL_STATUS_ERROR"},
                            ]
                        }
                    }
                ]
            },
        ),
        # vectors that cannot be those of the inputs
        ("embeddings", {"data": [{"embedding": "an error occurred"}]}),
        ("embeddings", {"data": [{"embedding": VECTOR}, {"embedding": [0.5]}]}),
        (
            "embeddings",
            {"data": [{"embedding": VECTOR, "index": 0}, {"embedding": VECTOR, "index": 0}]},
        ),
    ],
)
def test_errors_of_many_servers_are_not_kept(name: str, answer: Any) -> None:
    assert check(name, answer).refusal


def test_a_ranking_has_a_score_for_each_document_that_is_asked_for() -> None:
    def rank(count: int, **request: Any) -> str:
        scores = [{"index": at, "relevance_score": 0.5} for at in range(count)]
        body = {"query": "q", "documents": ["a", "b", "c"]} | request
        answers = [{"results": scores}, {"data": scores}, [each | {"score": 1} for each in scores]]
        [refusal] = {bool(check("rerank", each, body).refusal) for each in answers}
        return "refused" if refusal else "kept"

    assert rank(3) == rank(2, top_n=2) == rank(3, top_n=9) == rank(1, top_k=1) == "kept"
    assert rank(3, documents=None, texts=["a", "b", "c"]) == rank(3, top_n=None) == "kept"
    assert rank(2) == rank(1, top_n=2) == rank(2, documents=None, texts=["a"] * 3) == "refused"
    assert rank(4) == "refused"
    twice = {"results": [{"index": 0, "relevance_score": 0.5}] * 2}
    assert check("rerank", twice, {"documents": ["a", "b"]}).refusal


def test_token_counts_in_other_places_are_found() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    whole = make_chat_stream({"content": "Hi"})
    for part in (
        {"choices": [], "x_groq": {"id": "r", "usage": usage}},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]},
    ):
        found = check("chat completions", make_events(part) + whole)
        assert (found.refusal, found.usage) == ("", usage)


def test_an_answer_with_fewer_parts_than_the_request_asks_for_is_not_kept() -> None:
    chat = WHOLE["chat completions"]
    assert check("chat completions", chat, BODY | {"n": 2}).refusal
    assert check("chat completions", chat | {"choices": chat["choices"] * 2}, BODY | {"n": 2}) == (
        check("chat completions", chat)
    )
    assert check("chat completions", STREAMED["chat completions"], BODY | {"n": 2}).refusal
    assert check("embeddings", WHOLE["embeddings"], {"input": ["a", "b"]}).refusal
    assert not check("embeddings", WHOLE["embeddings"], {"input": [1, 2, 3]}).refusal
    assert check("embeddings", WHOLE["embeddings"], {"input": [[1, 2], [3]]}).refusal
    assert check("completions", WHOLE["completions"], {"prompt": ["a", "b"]}).refusal
    assert check("moderations", WHOLE["moderations"], {"input": ["a", "b"]}).refusal
    assert check("Gemini embeddings", WHOLE["Gemini embeddings"], {"requests": [{}, {}]}).refusal


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("chat completions", shapes.make_chat(BODY | TOOLS)),
        ("chat completions", "".join(shapes.stream_chat(BODY | TOOLS))),
        ("messages", "".join(shapes.stream_message(BODY | TOOLS))),
        (
            "chat completions",
            "".join(shapes.stream_chat(BODY | {"stream_options": {"include_usage": True}})),
        ),
        ("chat completions", ": waiting\n\n" + STREAMED["chat completions"]),
        ("messages", 'event: ping\ndata: {"type": "ping"}\n\n' + STREAMED["messages"]),
        ("embeddings", {"data": [{"embedding": "AAAA", "index": 0}]}),
        ("rerank", [{"index": 0, "score": 0.5}]),
        ("rerank", {"data": [{"index": 0, "relevance_score": 1}]}),
        ("Gemini", make_events(make_gemini("STOP"), make_gemini("STOP", "more"))),
        (
            "Gemini",
            make_gemini()
            | {
                "candidates": [
                    {
                        "content": {"parts": [{"functionCall": {"name": "f"}}]},
                        "finishReason": "STOP",
                    }
                ]
            },
        ),
    ],
)
def test_other_forms_of_a_whole_answer_are_kept(name: str, answer: Any) -> None:
    assert check(name, answer).refusal == ""


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("chat completions", shapes.make_chat(BODY | {"max_tokens": 1})),
        ("completions", make_text_completion(finish_reason="model_length")),
        ("Gemini", make_gemini("MAX_TOKENS")),
        ("Gemini", make_events(make_gemini(None), make_gemini("MAX_TOKENS"))),
        ("messages", shapes.make_message(BODY) | {"stop_reason": "max_tokens"}),
        ("messages", STREAMED["messages"].replace("end_turn", "pause_turn")),
        (
            "responses",
            shapes.make_response(BODY)
            | {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        ),
        (
            "responses",
            STREAMED["responses"]
            .replace("response.completed", "response.incomplete")
            .replace(
                '"status": "completed", "model"',
                '"status": "incomplete", "incomplete_details": '
                '{"reason": "max_output_tokens"}, "model"',
            ),
        ),
    ],
    ids=lambda value: value[:24] if type(value) is str else None,  # not the time in an answer
)
def test_an_answer_that_its_limit_cut_is_whole_and_truncated(name: str, answer: Any) -> None:
    assert check(name, answer)[:2] == ("", True)


def test_a_stream_of_google_ends_with_its_connection() -> None:
    text = make_events(make_gemini("STOP"))  # some models give a reason in every part
    assert check("Gemini", text, reached_end=False).refusal
    assert check("Gemini", text).refusal == ""
    assert check("Gemini", make_events(make_gemini("STOP"), make_gemini(None))).refusal


def test_a_stream_of_google_may_be_a_json_array() -> None:
    array = json.dumps([make_gemini(None), make_gemini("STOP")])
    assert check("Gemini", array, kind=JSON) == AnswerCheck("", False, "small", USAGE)
    assert check("Gemini", array[:-1], kind=JSON).refusal
    assert check("Gemini", json.dumps([make_gemini(None)]), kind=JSON).refusal


def test_the_token_usage_of_a_response_of_google_is_counted() -> None:
    found = check("Gemini", make_gemini())
    prices = PriceTable({"small": {"input": 1.0, "output": 2.0}})
    savings = SavingsEstimator(prices).estimate({"model": found.model, "usage": found.usage})
    assert savings is not None
    assert (savings.input_tokens, savings.output_tokens) == (7, 3)
    assert savings.money == pytest.approx(13e-6)


def test_an_answer_of_an_unknown_api_is_kept_unless_it_is_an_error_or_cut() -> None:
    assert check("other", {"any": 1}).refusal == ""
    assert check("other", {"error": "no"}).refusal
    assert check("other", "", kind="audio/mpeg").refusal
    assert check("other", "sound", kind="audio/mpeg").refusal == ""
    assert check("other", "sound", kind="audio/mpeg", reached_end=False).refusal
    assert check("other", "data: x\n\n").refusal == ""
    assert check("other", "data: x\n\n", reached_end=False).refusal
    assert check("other", 'data: {"error": 1}\n\n').refusal


@pytest.mark.parametrize("make", [lambda deep: deep, lambda deep: f"data: {deep}\n\n"])
def test_deeply_nested_json_is_not_kept(make: Callable[[str], str]) -> None:
    for name in APIS:
        assert check(name, make("[" * 100_000), kind=JSON).refusal
        assert check(name, make('{"choices":' * 100_000)).refusal
