"""A web service whose slow answers are kept, for all its workers and restarts.

    python -m examples.fastapi_app          # serves, asks itself, and ends
    uvicorn examples.fastapi_app:app        # serves

The cache is opened and closed by the application's lifespan. Of requests that ask the same
at the same time one asks the model, the others wait for it.
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
from examples.told import telling
from examples.upstream import model


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Open what the application needs, and close it at its end."""
    async with AsyncExitStack() as stack:
        base_url, name = stack.enter_context(model())
        app.state.cache = await stack.enter_async_context(CacheManager(namespace="web"))
        client = CachedLLMClient(base_url, name, app.state.cache)
        app.state.llm = await stack.enter_async_context(client)
        yield


app = FastAPI(lifespan=lifespan)


def llm(request: Request) -> CachedLLMClient:
    """Whom to ask."""
    client: CachedLLMClient = request.app.state.llm
    return client


def cache(request: Request) -> CacheManager:
    """Where answers are kept."""
    manager: CacheManager = request.app.state.cache
    return manager


@app.get("/answer")
async def answer(question: str, llm: Annotated[CachedLLMClient, Depends(llm)]) -> dict[str, str]:
    """An answer in one piece."""
    return {"question": question, "answer": await llm.ask(question)}


@app.get("/stream")
async def stream(question: str, llm: Annotated[CachedLLMClient, Depends(llm)]) -> StreamingResponse:
    """The same word by word."""
    words: AsyncIterator[str] = llm.stream(question)
    return StreamingResponse(words, media_type="text/plain")


@app.get("/stats")
async def stats(cache: Annotated[CacheManager, Depends(cache)]) -> CacheStats:
    """How good the cache is."""
    return await cache.get_stats()


@app.delete("/answers")
async def forget(cache: Annotated[CacheManager, Depends(cache)]) -> int:
    """Forget all answers; how many there were."""
    return await cache.clear()


@asynccontextmanager
async def serving() -> AsyncGenerator[str]:
    """Serve on a free port of this machine for the time of the block, which gets the URL."""
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
    """Serve, and be asked by many at once."""
    async with serving() as url, httpx2.AsyncClient(base_url=url, timeout=60) as http:
        async with telling(app.state.cache):
            asked = [{"question": f"What is number {number % 5}?"} for number in range(50)]
            answers = await asyncio.gather(*(http.get("/answer", params=one) for one in asked))
            print(f"50 requests at once, {len({each.text for each in answers})} different answers")
            streamed = await http.get("/stream", params=asked[0])
            print(f"streamed: {streamed.text}")
        print(f"GET /stats: {(await http.get('/stats')).text}")


if __name__ == "__main__":
    asyncio.run(main())
