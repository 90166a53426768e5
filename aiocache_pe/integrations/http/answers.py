"""Answers of model servers: the parts that a successful answer of each API has.

An answer is complete if it has all of them; any other answer is refused with a reason. Unknown
fields are ignored, because servers add some. The formats are those of the public APIs of OpenAI,
Anthropic, Google, Cohere and Ollama; most other servers use one of them.

Some servers report how a choice ended with words of their own. Words that mean an error, a filter
or a refusal are missing here on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

CUT_REASONS = frozenset(
    (
        "length",
        "model_length",
        "max_tokens",
        "MAX_TOKENS",
        "max_output_tokens",
        "pause_turn",
        "model_context_window_exceeded",
    )
)
"""Reasons for which an answer ends before its natural end: a limit on its length."""

_Finish = Literal["stop", "tool_calls", "function_call", "eos", "eos_token", "stop_sequence"]
_Cut = Literal["length", "model_length"]
_Stop = Literal["end_turn", "stop_sequence", "tool_use"]
_CutStop = Literal["max_tokens", "pause_turn", "model_context_window_exceeded"]
_GeminiFinish = Literal["STOP", "MAX_TOKENS"]

_FILLED = msgspec.Meta(min_length=1)
_Text = Annotated[str, _FILLED]
_Base64 = Annotated[str, msgspec.Meta(min_length=4, pattern=r"^[A-Za-z0-9+/]+={0,2}\Z")]
_Vector = Annotated[list[float], _FILLED]


class Answer(msgspec.Struct):
    """The fields that answers of all APIs share."""

    model: Any = None
    usage: Any = None
    error: None = None

    def list_reasons(self) -> list[str]:
        """Return the reasons for which the answer, or its parts, ended."""
        return []


_CONTENT_FIELDS = ("content", "refusal", "audio", "images")
_CALL_FIELDS = ("tool_calls", "function_call")
_CALL_REASONS = frozenset((*_CALL_FIELDS, "tool_use"))
"""Reasons for the end of an answer that calls a tool."""


class ChatChoice(msgspec.Struct):
    """A choice of a chat completion."""

    message: dict[str, Any]
    finish_reason: _Finish | _Cut
    error: None = None

    def __post_init__(self) -> None:
        _check_content(_has_content(self.message) or _has_calls(self.message))
        check_calls(self.finish_reason, has_calls=_has_calls(self.message))


class Chat(Answer, kw_only=True):
    """A chat completion."""

    choices: Annotated[list[ChatChoice], _FILLED]

    def list_reasons(self) -> list[str]:
        """Return the reason of each choice."""
        return [choice.finish_reason for choice in self.choices]


class TextChoice(msgspec.Struct):
    """A choice of a completion."""

    text: _Text
    finish_reason: _Finish | _Cut
    error: None = None


class Completion(Answer, kw_only=True):
    """A completion of a text."""

    choices: Annotated[list[TextChoice], _FILLED]

    def list_reasons(self) -> list[str]:
        """Return the reason of each choice."""
        return [choice.finish_reason for choice in self.choices]


class ChoicePart(msgspec.Struct):
    """A choice in an event of a streamed chat or text completion."""

    index: int = 0
    delta: dict[str, Any] | None = None
    text: str | None = None
    finish_reason: _Finish | _Cut | Literal[""] | None = None
    usage: Any = None  # where Moonshot's API has it
    error: None = None

    @property
    def has_content(self) -> bool:
        """Return whether the choice adds to the answer."""
        return bool(self.text) or _has_content(self.delta or {})

    @property
    def has_calls(self) -> bool:
        """Return whether the choice adds to the calls of tools."""
        return _has_calls(self.delta or {})

    def __post_init__(self) -> None:
        if self.delta and self.delta.get("error"):
            raise ValueError("delta has an error")


class GroqPart(msgspec.Struct):
    """The part of an event in which Groq's API reports errors, and token counts."""

    usage: Any = None
    error: None = None


class ChoicesPart(Answer, kw_only=True):
    """An event of a streamed chat or text completion."""

    choices: list[ChoicePart]
    x_groq: GroqPart | None = None

    def __post_init__(self) -> None:
        places = (self, self.x_groq, *self.choices)
        self.usage = next((each.usage for each in places if each and each.usage), None)


class OutputItem(msgspec.Struct):
    """An item in the output of the Responses API: a message, a call, a thought."""

    type: _Text
    status: str | None = None
    content: list[dict[str, Any]] | None = None
    error: None = None

    @property
    def has_content(self) -> bool:
        """Return whether the item adds to the answer; a thought does not."""
        if self.type == "message":
            return any(part.get("text") or part.get("refusal") for part in self.content or ())
        return self.type not in ("reasoning", "mcp_list_tools")


class IncompleteDetails(msgspec.Struct):
    """The reason for which an answer of the Responses API is incomplete."""

    reason: Literal["max_output_tokens"]


class ModelResponse(Answer, kw_only=True):
    """An answer of the Responses API."""

    object: Literal["response"]
    status: Literal["completed", "incomplete"]
    output: Annotated[list[OutputItem], _FILLED]
    incomplete_details: IncompleteDetails | None = None
    conversation: None = None

    def __post_init__(self) -> None:
        if self.status == "incomplete":
            if self.incomplete_details is None:
                raise ValueError("incomplete without a reason")
        elif any(item.status not in ("completed", None) for item in self.output):
            raise ValueError("an item of the output is not completed")
        _check_content(any(item.has_content for item in self.output))

    def list_reasons(self) -> list[str]:
        """Return the reason of an incomplete answer."""
        return [self.incomplete_details.reason] if self.incomplete_details else []


class ResponseEvent(msgspec.Struct):
    """An event of a streamed answer of the Responses API."""

    type: _Text
    response: msgspec.Raw = msgspec.Raw()
    error: None = None


class ContentBlock(msgspec.Struct):
    """A block of a message: a text, a thought, the use of a tool or its result."""

    type: _Text
    text: str | None = None
    content: Any = None
    is_error: bool | None = None

    def __post_init__(self) -> None:
        kind = self.content.get("type") if isinstance(self.content, dict) else None
        if self.is_error or (isinstance(kind, str) and kind.endswith("_error")):
            raise ValueError("a tool of the server failed")

    @property
    def has_content(self) -> bool:
        """Return whether the block adds to the answer; a thought does not."""
        if self.type == "text":
            return bool(self.text)
        return self.type not in ("thinking", "redacted_thinking")


class Message(Answer, kw_only=True):
    """A message of Anthropic's API."""

    type: Literal["message"]
    content: Annotated[list[ContentBlock], _FILLED]
    stop_reason: _Stop | _CutStop
    container: None = None

    def __post_init__(self) -> None:
        _check_content(any(block.has_content for block in self.content))
        has_calls = any(block.type == "tool_use" for block in self.content)
        check_calls(self.stop_reason, has_calls=has_calls)

    def list_reasons(self) -> list[str]:
        """Return the reason for which the message ended."""
        return [self.stop_reason]


class MessageDelta(msgspec.Struct):
    """A change of a message or of a block, in an event of a streamed message."""

    stop_reason: _Stop | _CutStop | None = None
    container: None = None
    text: str | None = None


class MessageHead(msgspec.Struct):
    """The beginning of a streamed message."""

    model: Any = None
    usage: Any = None
    container: None = None


class MessageEvent(msgspec.Struct):
    """An event of a streamed message."""

    type: _Text
    index: int = 0
    message: MessageHead | None = None
    content_block: ContentBlock | None = None
    delta: MessageDelta | None = None
    usage: Any = None
    error: None = None


class TokenCount(Answer, kw_only=True):
    """A number of tokens."""

    input_tokens: Annotated[int, msgspec.Meta(ge=1)]


class Embedding(msgspec.Struct):
    """The vector of one input: numbers, or their bytes in base64."""

    embedding: _Vector | _Base64
    index: int | None = None


class Embeddings(Answer, kw_only=True):
    """The vectors of all inputs."""

    data: Annotated[list[Embedding], _FILLED]

    def __post_init__(self) -> None:
        check_places([each.index for each in self.data])
        if len({len(each.embedding) for each in self.data}) > 1:
            raise ValueError("the vectors have different lengths")


class OllamaEmbedding(Answer, kw_only=True):
    """The vector of one input, of Ollama's own API."""

    embedding: _Vector


class Moderation(msgspec.Struct):
    """The categories of one input."""

    categories: Annotated[dict[str, Any], _FILLED]


class Moderations(Answer, kw_only=True):
    """The categories of all inputs."""

    results: Annotated[list[Moderation], _FILLED]


class Score(msgspec.Struct):
    """The relevance of one document."""

    index: Annotated[int, msgspec.Meta(ge=0)]
    relevance_score: float | None = None
    score: float | None = None

    def __post_init__(self) -> None:
        if self.relevance_score is None and self.score is None:
            raise ValueError("a document has no score")


Scores = Annotated[list[Score], _FILLED]


class Ranking(Answer, kw_only=True):
    """The relevance of documents, in the formats of Cohere and of Voyage."""

    results: list[Score] = []
    data: list[Score] = []

    @property
    def scores(self) -> list[Score]:
        """Return the scores."""
        return self.results or self.data

    def __post_init__(self) -> None:
        _check_content(bool(self.scores))


class GeminiContent(msgspec.Struct):
    """The content of a candidate."""

    parts: list[dict[str, Any]] = []


class RetrievedUrl(msgspec.Struct, rename="camel"):
    """A page that the server read for an answer."""

    url_retrieval_status: str | None = None

    def __post_init__(self) -> None:
        if self.url_retrieval_status == "URL_RETRIEVAL_STATUS_ERROR":
            raise ValueError("a tool of the server failed")


class UrlContext(msgspec.Struct, rename="camel"):
    """The pages that the server read for an answer."""

    url_metadata: list[RetrievedUrl] = []


class GeminiCandidate(msgspec.Struct, rename="camel"):
    """A candidate in an answer, or in a part of a streamed answer, of Google's API."""

    index: int = 0
    content: GeminiContent = msgspec.field(default_factory=GeminiContent)
    finish_reason: _GeminiFinish | None = None
    url_context_metadata: UrlContext | None = None
    error: None = None

    @property
    def has_content(self) -> bool:
        """Return whether the candidate adds to the answer; a thought does not."""
        return any(
            not part.get("thought")
            and any(value for name, value in part.items() if name != "thoughtSignature")
            for part in self.content.parts
        )

    @property
    def has_calls(self) -> bool:
        """Return whether the candidate calls a function."""
        return any("functionCall" in part for part in self.content.parts)


class PromptFeedback(msgspec.Struct, rename="camel"):
    """The reason for which Google's API answers no prompt."""

    block_reason: None = None


class GeminiPart(msgspec.Struct, rename="camel"):
    """An answer of Google's API, or a part of a streamed one."""

    choices: list[GeminiCandidate] = msgspec.field(name="candidates", default_factory=list)
    model: Any = msgspec.field(name="modelVersion", default=None)
    usage: Any = msgspec.field(name="usageMetadata", default=None)
    prompt_feedback: PromptFeedback | None = None
    error: None = None

    def __post_init__(self) -> None:
        _check_content(bool(self.choices or self.usage))


class GeminiEmbedding(msgspec.Struct):
    """The vector of one input of Google's API."""

    values: _Vector


class GeminiEmbeddedOne(Answer, kw_only=True):
    """The vector of the only input."""

    embedding: GeminiEmbedding


class GeminiEmbeddedMany(Answer, kw_only=True):
    """The vectors of all inputs."""

    embeddings: Annotated[list[GeminiEmbedding], _FILLED]


def check_places(places: Sequence[int | None], number: int | None = None) -> None:
    """Check that no two items of an answer have the same place, and none is out of range.

    Args:
        places: the place of each item in the request, as far as the items have one.
        number: the number of items in the request; ``None`` if it is unknown.

    Raises:
        ValueError: an item is twice in the answer, or not in the request.
    """
    known = [place for place in places if place is not None]
    if len(set(known)) < len(known):
        raise ValueError("two items have the same index")
    if number is not None and any(place >= number for place in known):
        raise ValueError("an index is not that of an input")


def check_calls(reason: str, *, has_calls: bool) -> None:
    """Check that an answer that ends with the call of a tool has one.

    Raises:
        ValueError: it has none.
    """
    if reason in _CALL_REASONS and not has_calls:
        raise ValueError(f"the reason for the end is {reason}, but no tool is called")


def _has_content(message: dict[str, Any]) -> bool:
    """Return whether a message, or a change of one, has content; a thought does not count."""
    return any(map(message.get, _CONTENT_FIELDS))


def _has_calls(message: dict[str, Any]) -> bool:
    return any(map(message.get, _CALL_FIELDS))


def _check_content(has_content: bool) -> None:  # noqa: FBT001 - the only parameter
    if not has_content:
        raise ValueError("no content")
