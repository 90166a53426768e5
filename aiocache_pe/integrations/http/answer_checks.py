"""Checks of answers of model servers: only an answer that is known to be whole is kept.

`APIS` has one row for each API: the ends of its paths, and the type of its answers in
`aiocache_pe.integrations.http.answers`. A stream is a text of server-sent events (WHATWG HTML,
section 9.2), or a JSON array of parts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import msgspec

from aiocache_pe.integrations.http import answers

_DONE = b"[DONE]"
_FAILURE_EVENTS = frozenset(("error", "response.failed"))
_NO_LIMIT = sys.maxsize
_END_EVENTS = frozenset(("response.completed", "response.incomplete"))


class AnswerCheck(NamedTuple):
    """Result of a check of an answer, with its model and its token counts.

    Attributes:
        refusal: the reason for which it is not a whole, successful answer; empty if it is one.
        truncated: a limit on its length cut it short.
    """

    refusal: str = ""
    truncated: bool = False
    model: str | None = None
    usage: dict[str, Any] | None = None


class StreamCheck(Protocol):
    """Check of a stream, event by event.

    Attributes:
        reasons: the reason for which each choice ended.
    """

    model: Any
    usage: dict[str, Any]
    reasons: dict[int, str]

    def add(self, data: bytes) -> None:
        """Check the next event.

        Raises:
            ValueError: no whole answer has this event.
        """

    def finish(self, *, reached_end: bool) -> None:
        """Check that the answer is whole.

        Args:
            reached_end: whether the server sent no more.

        Raises:
            ValueError: something is missing.
        """


class Api(NamedTuple):
    """Facts about an API.

    Attributes:
        paths: the ends of its paths.
        answer: the decoder of an answer that is not streamed; ``None`` if the stream's check
            serves for both.
        stream: the check of a stream.
        results: the field with one item for each that the request asks for.
        count_results: the number of items that a request asks for.
    """

    paths: tuple[str, ...]
    answer: msgspec.json.Decoder[Any] | None
    stream: Callable[[], StreamCheck] | None = None
    results: str = ""
    count_results: Callable[[dict[str, Any]], int] = lambda _: 1


class _ChoicesCheck:
    """Check of a stream of choices: each of them has content and a reason for its end.

    Args:
        decode: decodes an event.
        has_marker: whether the last event is ``[DONE]``. Without it, the end of the connection
            ends the stream, and a choice may have a reason in each part: the last one counts.
    """

    def __init__(self, decode: Callable[[bytes], Any], *, has_marker: bool) -> None:
        self._decode = decode
        self._has_marker = has_marker
        self._is_done = False
        self._open, self._filled, self._calling = set[int](), set[int](), set[int]()
        self.model: Any = None
        self.usage: dict[str, Any] = {}
        self.reasons: dict[int, str] = {}

    def add(self, data: bytes) -> None:
        if self._is_done:
            raise ValueError("an event follows [DONE]")
        if self._has_marker and data == _DONE:
            self._is_done = True
            return
        part = self._decode(data)
        _collect(self, part)
        for choice in part.choices:
            if choice.has_calls:
                self._calling.add(choice.index)
            if choice.has_content:
                self._filled.add(choice.index)
            if choice.finish_reason:
                self.reasons[choice.index] = choice.finish_reason
                self._open.discard(choice.index)
            elif not self._has_marker or choice.index not in self.reasons:
                self._open.add(choice.index)

    def finish(self, *, reached_end: bool) -> None:
        if self._open or not self.reasons:
            raise ValueError("a choice has no reason for its end")
        if not self.reasons.keys() <= self._filled | self._calling:
            raise ValueError("no content")
        for index, reason in self.reasons.items():
            answers.check_calls(reason, has_calls=index in self._calling)
        if self._has_marker and not self._is_done:
            raise ValueError("the event [DONE] is missing")
        if not self._has_marker and not reached_end:
            raise ValueError("the end of the stream was not received")


class _ResponseCheck:
    """Check of a stream of the Responses API: its last event has the whole answer."""

    def __init__(self) -> None:
        self._last: answers.ModelResponse | None = None
        self.model: Any = None
        self.usage: dict[str, Any] = {}
        self.reasons: dict[int, str] = {}

    def add(self, data: bytes) -> None:
        if data == _DONE:
            return
        event = _decode_response_event(data)
        _check_event_type(event.type)
        if self._last is not None:
            raise ValueError("an event follows the end of the response")
        if event.type in _END_EVENTS:
            last = self._last = _decode_response(event.response)
            _collect(self, last)
            self.reasons = dict(enumerate(last.list_reasons()))

    def finish(self, *, reached_end: bool) -> None:
        if self._last is None:
            raise ValueError("the event response.completed is missing")


class _MessageCheck:
    """Check of a stream of Anthropic's API: all blocks and the message itself have ended."""

    def __init__(self) -> None:
        self._open = set[int]()
        self._has_content = self._has_calls = self._has_started = self._has_stopped = False
        self.model: Any = None
        self.usage: dict[str, Any] = {}
        self.reasons: dict[int, str] = {}

    def add(self, data: bytes) -> None:
        event = _decode_message_event(data)
        _check_event_type(event.type)
        if event.type == "message_start" and event.message is not None:
            self._has_started = True
            _collect(self, event.message)
        elif event.type == "content_block_start" and event.content_block is not None:
            self._open.add(event.index)
            self._has_content = self._has_content or event.content_block.has_content
            self._has_calls = self._has_calls or event.content_block.type == "tool_use"
        elif event.type == "content_block_delta" and event.delta is not None:
            self._has_content = self._has_content or bool(event.delta.text)
        elif event.type == "content_block_stop":
            self._open.discard(event.index)
        elif event.type == "message_delta":
            _add_usage(self.usage, event.usage)
            if event.delta is not None and event.delta.stop_reason:
                self.reasons[0] = event.delta.stop_reason
        elif event.type == "message_stop":
            self._has_stopped = True

    def finish(self, *, reached_end: bool) -> None:
        if not self._has_started or not self._has_stopped:
            raise ValueError("the event message_start or message_stop is missing")
        if self._open or not self.reasons:
            raise ValueError("a block has no end, or the message has no stop_reason")
        answers.check_calls(self.reasons[0], has_calls=self._has_calls)
        if not self._has_content:
            raise ValueError("no content")


class _OtherCheck:
    """Check of a stream of an unknown API: no event is an error."""

    def __init__(self) -> None:
        self._has_events = self._is_done = False
        self.model: Any = None
        self.usage: dict[str, Any] = {}
        self.reasons: dict[int, str] = {}

    def add(self, data: bytes) -> None:
        self._has_events = True
        if data == _DONE:
            self._is_done = True
        elif data[:1] in (b"{", b"["):
            _check_other(_decode(data))

    def finish(self, *, reached_end: bool) -> None:
        if not self._has_events or not (self._is_done or reached_end):
            raise ValueError("the end of the stream was not received")


def _make_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


_decode = _make_decoder(Any).decode
_decode_response = _make_decoder(answers.ModelResponse).decode
_decode_response_event = _make_decoder(answers.ResponseEvent).decode
_decode_message_event = _make_decoder(answers.MessageEvent).decode
_decode_choices = _make_decoder(answers.ChoicesPart).decode
_decode_gemini = _make_decoder(answers.GeminiPart).decode
_decode_array = _make_decoder(list[msgspec.Raw]).decode


def _check_choices() -> StreamCheck:
    return _ChoicesCheck(_decode_choices, has_marker=True)


def _check_gemini() -> StreamCheck:
    return _ChoicesCheck(_decode_gemini, has_marker=False)


def _count_items(items: Any) -> int:
    """Return the number of inputs: an input is a text, or a list of tokens."""
    is_batch = isinstance(items, list) and bool(items) and isinstance(items[0], str | list)
    return len(items) if is_batch else 1


def _count_choices(body: dict[str, Any]) -> int:
    number = body.get("n")
    return _count_items(body.get("prompt")) * (number if isinstance(number, int) else 1)


def _count_inputs(body: dict[str, Any]) -> int:
    return _count_items(body.get("input"))


def _count_documents(body: dict[str, Any]) -> int:
    """Return the number of documents to rank, of which the request may ask for the best ones."""
    documents = _list_documents(body)
    limits = (body.get("top_n"), body.get("top_k"))
    return min(len(documents), *(limit for limit in limits if isinstance(limit, int)), _NO_LIMIT)


def _list_documents(body: dict[str, Any]) -> list[Any]:
    documents = body.get("documents") or body.get("texts")
    return documents if isinstance(documents, list) else []


def _count_requests(body: dict[str, Any]) -> int:
    requests = body.get("requests")
    return len(requests) if isinstance(requests, list) else 1


APIS: dict[str, Api] = {
    "chat completions": Api(
        ("/chat/completions",),
        _make_decoder(answers.Chat),
        _check_choices,
        "choices",
        _count_choices,
    ),
    "completions": Api(
        ("/completions",),
        _make_decoder(answers.Completion),
        _check_choices,
        "choices",
        _count_choices,
    ),
    "responses": Api(("/responses",), _make_decoder(answers.ModelResponse), _ResponseCheck),
    "messages": Api(("/v1/messages",), _make_decoder(answers.Message), _MessageCheck),
    "token counts": Api(("/v1/messages/count_tokens",), _make_decoder(answers.TokenCount)),
    "Ollama embeddings": Api(("/api/embeddings",), _make_decoder(answers.OllamaEmbedding)),
    "embeddings": Api(
        ("/embeddings",), _make_decoder(answers.Embeddings), None, "data", _count_inputs
    ),
    "moderations": Api(
        ("/moderations",), _make_decoder(answers.Moderations), None, "results", _count_inputs
    ),
    "rerank": Api(
        ("/rerank",),
        _make_decoder(answers.Ranking | answers.Scores),
        None,
        "scores",
        _count_documents,
    ),
    "Gemini": Api((":generateContent", ":streamGenerateContent"), None, _check_gemini),
    "Gemini embedding": Api((":embedContent",), _make_decoder(answers.GeminiEmbeddedOne)),
    "Gemini embeddings": Api(
        (":batchEmbedContents",),
        _make_decoder(answers.GeminiEmbeddedMany),
        None,
        "embeddings",
        _count_requests,
    ),
}
"""The APIs by name; of two paths that end alike, the longer one comes first."""

OTHER = Api((), None, _OtherCheck)
"""An API without a row: requests that a user's ``cacheable`` adds."""


def find_api(path: str) -> Api | None:
    """Return the API of a path; ``None`` if it has no row.

    Example:
        >>> find_api("/v1/embeddings") is APIS["embeddings"]
        True
    """
    return next((api for api in APIS.values() if path.endswith(api.paths)), None)


def check_answer(
    api: Api, request: Any, content_type: str, body: bytes, *, reached_end: bool = True
) -> AnswerCheck:
    """Check the body of a response with status 200.

    Args:
        api: the API.
        request: the body of the request.
        content_type: of the response.
        body: the body of the response, as far as it was received.
        reached_end: whether the server sent no more.
    """
    try:
        if "event-stream" in content_type or _is_event_stream(content_type, body):
            events = _iter_events(body)
        elif api.answer is not None:
            return _check_whole(api, request, body)
        elif api is OTHER:
            return _check_other_body(content_type, body, reached_end=reached_end)
        else:  # the end of the JSON is the end of the answer
            reached_end = True
            parts = _decode_array(body) if body.lstrip()[:1] == b"[" else [body]
            events = (("", bytes(part)) for part in parts)
        return _check_stream(api, request, events, reached_end=reached_end)
    except (ValueError, RecursionError) as error:
        return AnswerCheck(refusal=str(error))


def _check_whole(api: Api, request: Any, body: bytes) -> AnswerCheck:
    assert api.answer is not None  # noqa: S101 - the caller has checked it
    answer = api.answer.decode(body)
    if api.results:
        items = getattr(answer, api.results, answer)  # some servers send the list of scores alone
        _check_count(api, request, len(items))
        if api.results == "scores" and isinstance(request, dict):
            number = len(_list_documents(request)) or None
            answers.check_places([score.index for score in items], number)
    if not isinstance(answer, answers.Answer):
        return AnswerCheck()
    is_cut = not answers.CUT_REASONS.isdisjoint(answer.list_reasons())
    return AnswerCheck("", is_cut, _as_text(answer.model), _as_dict(answer.usage))


def _check_stream(
    api: Api, request: Any, events: Iterator[tuple[str, bytes]], *, reached_end: bool
) -> AnswerCheck:
    if api.stream is None:
        raise ValueError("this API has no streams")
    check = api.stream()
    for name, data in events:
        _check_event_type(name)
        check.add(data)
    check.finish(reached_end=reached_end)
    if api.results:
        _check_count(api, request, len(check.reasons))
    is_cut = not answers.CUT_REASONS.isdisjoint(check.reasons.values())
    return AnswerCheck("", is_cut, _as_text(check.model), check.usage or None)


def _check_count(api: Api, request: Any, number: int) -> None:
    wanted = api.count_results(request) if isinstance(request, dict) else 1
    if number < wanted:
        raise ValueError(f"{api.results} has {number} items; the request asks for {wanted}")


def _check_other_body(content_type: str, body: bytes, *, reached_end: bool) -> AnswerCheck:
    if not body:
        raise ValueError("no content")
    if "json" not in content_type:
        if not reached_end:
            raise ValueError("the end of the response was not received")
        return AnswerCheck()
    answer = _decode(body)
    _check_other(answer)
    fields = _as_dict(answer) or {}
    model, usage = _as_text(fields.get("model")), _as_dict(fields.get("usage"))
    return AnswerCheck(model=model, usage=usage)


def _check_other(answer: Any) -> None:
    if isinstance(answer, dict) and (answer.get("error") or answer.get("type") == "error"):
        raise ValueError("the answer is an error")


def _check_event_type(name: str) -> None:
    if name in _FAILURE_EVENTS:
        raise ValueError(f"the stream has the event {name}")


def _is_event_stream(content_type: str, body: bytes) -> bool:
    """Return whether a body without a type that says so has the form of an event stream."""
    return "json" not in content_type and body.startswith((b"data:", b"event:", b":"))


def _iter_events(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the data of each event."""
    name, data = "", list[bytes]()
    for line in [*text.removeprefix(b"\xef\xbb\xbf").splitlines(), b""]:
        field, _, value = line.partition(b":")
        if not line:
            if data:
                yield name, b"\n".join(data)
            name, data = "", []
        elif field == b"event":
            name = value.strip().decode("utf-8", "replace")
        elif field == b"data":
            data.append(value.removeprefix(b" "))


def _collect(check: StreamCheck, part: Any) -> None:
    """Add the model and the token counts of a part of a stream."""
    check.model = check.model or part.model
    _add_usage(check.usage, part.usage)


def _add_usage(usage: dict[str, Any], counts: Any) -> None:
    if isinstance(counts, dict):
        usage.update({name: count for name, count in counts.items() if count is not None})


def _as_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _as_dict(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None
