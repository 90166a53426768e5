"""Structured output of LangChain's own client for OpenAI: cached and recorded by every method."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar

import httpx
import pytest
from pydantic import BaseModel, ConfigDict, Field

from aiocache_pe import CacheManager, bypass, recording
from aiocache_pe.integrations.langchain import LangChainCache
from examples.llmserver.server import ModelServer

openai = pytest.importorskip("langchain_openai")  # as any: its types take long to check

T = TypeVar("T")


class Place(BaseModel):
    """A place."""

    city: str = Field(min_length=1)
    rank: int = 1


class Guess(BaseModel, Generic[T]):
    """A guess of something."""

    city: T


class PlaceDict(TypedDict):
    """A place."""

    city: str


class WithoutSchema(BaseModel):
    """A model that has no JSON schema."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    client: ModelServer


class Base(BaseModel):
    """A base of a model with two bases."""


SCHEMA = {
    "title": "place",
    "description": "A place.",
    "type": "object",
    "properties": {"city": {"type": "string"}},
}
CASES: list[tuple[Any, bool]] = [
    *((Place, False), (Place, True), (Guess[str], True), (PlaceDict, True), (SCHEMA, False)),
]
each_way = pytest.mark.parametrize("way", ["async", "blocking"])
METHODS: dict[str, dict[str, Any]] = {
    "function calling": {"method": "function_calling"},
    "json_schema": {"method": "json_schema"},
    "json_mode": {"method": "json_mode"},
    "responses": {"method": "json_schema", "use_responses_api": True},
}


CLIENTS: dict[str, Any] = {}


@pytest.fixture(autouse=True)
async def clients() -> AsyncIterator[None]:
    """Let models use clients that are closed."""
    async with httpx.AsyncClient() as for_tasks:
        with httpx.Client() as for_threads:
            CLIENTS.update({"async": for_tasks, "blocking": for_threads})
            yield
            CLIENTS.clear()


def make_model(cache: CacheManager, server: ModelServer, schema: Any, **settings: Any) -> Any:
    """Return a model that answers in the form of a schema."""
    responses = settings.pop("use_responses_api", False)
    model = openai.ChatOpenAI(
        model="tiny",
        api_key="k",
        base_url=f"{server.url}/v1",
        max_retries=0,
        cache=LangChainCache(cache),
        use_responses_api=responses,
        http_client=CLIENTS.get("blocking"),
        http_async_client=CLIENTS.get("async"),
    )
    return model.with_structured_output(schema, **settings)


async def ask(way: str, model: Any, text: str = "Paris") -> Any:
    return await (model.ainvoke(text) if way == "async" else asyncio.to_thread(model.invoke, text))


def get_parts(result: Any) -> tuple[Any, Any]:
    """Return the parsed answer and the raw message, without the costs that LangChain zeroes."""
    if not (isinstance(result, dict) and "raw" in result):
        return result, None
    raw = result["raw"].model_copy(update={"usage_metadata": None})
    assert result["parsing_error"] is None
    return result["parsed"], raw


@each_way
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
async def test_structured_output_is_cached_and_recorded(
    way: str, method: dict[str, Any], files: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    for number, (schema, include_raw) in enumerate(CASES):
        settings = {"include_raw": include_raw, **method}
        name, text = f"{schema} {settings}", f"Paris {number}"
        server.requests.clear()
        first, raw = get_parts(await ask(way, make_model(files, server, schema, **settings), text))
        is_model = isinstance(schema, type) and schema is not PlaceDict
        expected: type[Any] = schema if is_model else dict
        assert isinstance(first, expected), name
        model = make_model(files, server, schema, **settings)
        for _ in range(2):
            found, found_raw = get_parts(await ask(way, model, text))
            assert (type(found), found, found_raw) == (type(first), first, raw), name
            if raw is not None:
                kinds = [type(each.additional_kwargs.get("parsed")) for each in (raw, found_raw)]
                assert kinds[0] is kinds[1], name
        assert len(server.requests) == 1, name
        with recording(tmp_path, "record"):
            recorded = get_parts(await ask(way, model, text))
        with recording(tmp_path):
            assert get_parts(await ask(way, model, text)) == recorded, name
        assert len(server.requests) == 2, name
    assert (await files.get_stats()).errors == 0


@each_way
async def test_an_edited_schema_is_asked_for_again(
    way: str, memory: CacheManager, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = make_model(memory, server, Place, method="json_schema")
    await ask(way, older)
    edited = type(
        "Place",
        (BaseModel,),
        {
            "__module__": __name__,
            "__qualname__": "Place",
            "__doc__": "A large place.",
            "__annotations__": {"city": str, "rank": int},
            "rank": 1,
        },
    )
    monkeypatch.setattr(sys.modules[__name__], "Place", edited)
    newer = make_model(memory, server, edited, method="json_schema")
    for _ in range(2):
        assert type(await ask(way, newer)) is edited
    assert len(server.requests) == 2


async def test_a_local_class_is_restored_and_another_of_its_name_is_not_confused_with_it(
    memory: CacheManager, server: ModelServer
) -> None:
    def make_class(description: str) -> type[BaseModel]:
        class Local(Base, Place):  # found through both
            city: str = Field(description=description)

        return Local

    one = make_class("the city")
    model = make_model(memory, server, one, method="json_schema")
    for _ in range(2):
        assert type(await ask("async", model)) is one
    assert len(server.requests) == 1
    other = make_class("the capital")
    for schema in (other, one, other):
        assert type(await ask("async", make_model(memory, server, schema))) is schema
    assert len(server.requests) == 4


@pytest.mark.parametrize("setting", [object(), WithoutSchema])
async def test_settings_without_an_identity_are_not_cached(
    setting: object, memory: CacheManager
) -> None:
    cache = LangChainCache(memory)
    text = str([("response_format", setting)])
    await cache.aupdate("why?", text, [])
    assert await cache.alookup("why?", text) is None
    assert (await memory.namespace("langchain").get_stats()).total_entries == 0


PROGRAM = """
import sys
from tests.behaviour.test_structured_output import CacheManager, Place, ask, make_model
import asyncio, types

async def main(directory, url):
    async with CacheManager(directory=directory) as cache:
        server = types.SimpleNamespace(url=url)
        print(repr(await ask("async", make_model(cache, server, Place))))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_another_process_restores_the_class(cache_dir: Path, server: ModelServer) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        place = await ask("async", make_model(cache, server, Place))
    command = [sys.executable, "-c", PROGRAM, str(cache_dir), server.url]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert output.decode() == f"{place!r}\n"
    assert len(server.requests) == 1


@each_way
async def test_each_method_sends_as_many_requests_as_there_are_different_questions(
    way: str, memory: CacheManager, server: ModelServer
) -> None:
    for method in METHODS.values():
        for text in ("Paris", "Rome", "Paris"):
            await ask(way, make_model(memory, server, Place, **method), text)
    with bypass():
        await ask(way, make_model(memory, server, Place), "Paris")
    assert len(server.requests) == 2 * len(METHODS) + 1
