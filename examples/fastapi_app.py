"""Web service with a cache of slow answers, shared by all workers and kept over restarts.

    python -m examples.fastapi_app          # serves, sends requests to itself, and ends
    uvicorn examples.fastapi_app:app        # serves

The application's lifespan opens and closes the cache. Among equal requests at the same time,
one calls the model and the others wait for its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

import httpx2
import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse

from aiocache_pe import CacheManager, CacheStats
from examples.llm_client import CachedLLMClient
from examples.run_report import report_run
from examples.upstream import open_model


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Open the cache and the model client, and close them when the application ends."""
    async with AsyncExitStack() as stack:
        base_url, name = stack.enter_context(open_model())
        app.state.cache = await stack.enter_async_context(CacheManager(namespace="web"))
        client = CachedLLMClient(base_url, name, app.state.cache)
        app.state.llm = await stack.enter_async_context(client)
        yield


app = FastAPI(lifespan=lifespan)


def get_llm(request: Request) -> CachedLLMClient:
    """Return the model client."""
    client: CachedLLMClient = request.app.state.llm
    return client


def get_cache(request: Request) -> CacheManager:
    """Return the cache of the answers."""
    manager: CacheManager = request.app.state.cache
    return manager


@app.get("/answer")
async def get_answer(
    question: str, llm: Annotated[CachedLLMClient, Depends(get_llm)]
) -> dict[str, str]:
    """Return a complete answer."""
    return {"question": question, "answer": await llm.ask(question)}


@app.get("/stream")
async def stream_answer(
    question: str, llm: Annotated[CachedLLMClient, Depends(get_llm)]
) -> StreamingResponse:
    """Return an answer as a stream of words."""
    words: AsyncIterator[str] = llm.stream(question)
    return StreamingResponse(words, media_type="text/plain")


@app.get("/stats")
async def get_stats(cache: Annotated[CacheManager, Depends(get_cache)]) -> CacheStats:
    """Return the cache's counters."""
    return await cache.get_stats()


@app.delete("/answers")
async def delete_answers(cache: Annotated[CacheManager, Depends(get_cache)]) -> int:
    """Delete all answers, and return their number."""
    return await cache.clear()


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
    """Serve, and send 50 requests at once."""
    async with serve() as url, httpx2.AsyncClient(base_url=url, timeout=60) as http:
        async with report_run(app.state.cache):
            asked = [{"question": f"What is number {number % 5}?"} for number in range(50)]
            answers = await asyncio.gather(*(http.get("/answer", params=one) for one in asked))
            print(f"50 requests at once, {len({each.text for each in answers})} different answers")
            streamed = await http.get("/stream", params=asked[0])
            print(f"streamed: {streamed.text}")
        print(f"GET /stats: {(await http.get('/stats')).text}")


if __name__ == "__main__":
    asyncio.run(main())
