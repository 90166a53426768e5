"""Web service that caches answers and streams about documents, until a document changes.

    python -m examples.fastapi_app          # serves, sends requests to itself, and ends
    uvicorn examples.fastapi_app:app        # serves

All workers share the cache, and it is kept over restarts. Among equal requests at the same time,
one calls the model and the others wait for its answer. A source of documents calls the route
``/documents/NAME/changed``, which removes all answers about a document, in all workers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx2
import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI

from aiocache_pe import CacheManager, CacheStats, cached
from examples.run_report import report_run
from examples.upstream import get_api_key, open_model

cache = CacheManager(namespace="web")


class Model:
    """Model that answers questions about documents, each question once.

    Args:
        client: client of the model's server.
        name: name of the model; answers of other models have other keys.
    """

    def __init__(self, client: AsyncOpenAI, name: str) -> None:
        self._client = client
        self._name = name

    def __cache_key__(self) -> str:
        """Return the part of this object that affects an answer."""
        return self._name

    @cached(cache=cache, ttl="1d", tags=["document:{document}"])
    async def answer(self, document: str, question: str) -> str:
        """Return a complete answer."""
        answer = await self._client.chat.completions.create(
            model=self._name, messages=[{"role": "user", "content": f"{document}: {question}"}]
        )
        return answer.choices[0].message.content or ""

    @cached(cache=cache, ttl="1d", tags=["document:{document}"])
    async def stream(self, document: str, question: str) -> AsyncIterator[str]:
        """Yield an answer word by word, live or replayed."""
        chunks = await self._client.chat.completions.create(
            model=self._name,
            messages=[{"role": "user", "content": f"{document}: {question}"}],
            stream=True,
        )
        async for chunk in chunks:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Open the client of the model, and close it and the cache when the application ends."""
    with open_model() as (base_url, name):
        async with cache, AsyncOpenAI(base_url=base_url, api_key=get_api_key()) as client:
            app.state.model = Model(client, name)
            yield


app = FastAPI(lifespan=lifespan)


def get_model(request: Request) -> Model:
    """Return the model."""
    model: Model = request.app.state.model
    return model


OpenModel = Annotated[Model, Depends(get_model)]


@app.get("/documents/{document}/answer")
async def get_answer(document: str, question: str, model: OpenModel) -> str:
    """Return a complete answer."""
    return await model.answer(document, question)


@app.get("/documents/{document}/stream")
async def stream_answer(document: str, question: str, model: OpenModel) -> StreamingResponse:
    """Return an answer as a stream of words."""
    return StreamingResponse(model.stream(document, question), media_type="text/plain")


@app.post("/documents/{document}/changed")
async def remove_answers(document: str) -> bool:
    """Remove the answers and the streams about a document."""
    return await cache.delete_by_tag(f"document:{document}")


@app.get("/stats")
async def get_stats() -> CacheStats:
    """Return the counters of the cache."""
    return await cache.get_stats()


@asynccontextmanager
async def serve() -> AsyncGenerator[str]:
    """Serve on a free local port while the block runs, and yield the URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
            if task.done():
                raise RuntimeError("the server did not start") from task.exception()
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


async def main() -> None:
    """Serve, send 50 requests at once, and report a changed document."""
    async with serve() as url, httpx2.AsyncClient(base_url=url, timeout=60) as http:
        async with report_run(cache):
            asked = [{"question": f"What is number {number % 5}?"} for number in range(50)]
            path = "/documents/handbook"
            answers = await asyncio.gather(*(http.get(f"{path}/answer", params=q) for q in asked))
            print(f"50 requests at once, {len({each.text for each in answers})} different answers")
            streamed = await http.get(f"{path}/stream", params=asked[0])
            print(f"streamed: {streamed.text}")
        for change in (True, False):
            await http.get("/documents/draft/answer", params=asked[0])
            if change:
                await http.post("/documents/draft/changed")
                print("draft has changed: its answer is computed again")
        print(f"GET /stats: {(await http.get('/stats')).text}")


if __name__ == "__main__":
    asyncio.run(main())
