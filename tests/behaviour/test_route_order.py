"""``@cached`` belongs below the decorator with which a web framework registers a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from aiocache_pe import CacheManager, ConfigurationError, cached, cached_batch

F = TypeVar("F", bound=Callable[..., Any])
app = FastAPI()
routers = {"users": APIRouter()}
calls: list[str] = []


class Registry:
    """An object of the application with the same method."""

    def get(self, path: str) -> Callable[[F], F]:
        return lambda function: function


class Service:
    app = app
    registry = Registry()


def test_above_a_route_it_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"must be below @app\.get, next to the function"):

        @cached
        @app.get("/a")
        async def bare(items: list[str]) -> list[str]:
            return items

    with pytest.raises(ConfigurationError, match=r"@cached_batch must be below @app\.get"):

        @cached_batch(ttl="1h")
        @app.get("/b")
        async def batch(items: list[str]) -> list[str]:
            return items

    with pytest.raises(ConfigurationError, match=r"must be below @Service\.app\.post"):

        @cached(ttl="1h")
        @Service.app.post(
            "/b",
            tags=["b"],
        )
        def plain() -> str:
            return ""


def test_other_decorators_may_be_below() -> None:
    @cached
    @Service.registry.get("/c")
    async def ask() -> str:
        return ""

    assert ask.cache_info().hits == 0


def test_below_a_route_it_caches(memory: CacheManager) -> None:
    @app.get("/d/{name}")
    @cached(cache=memory)
    async def ask(name: str) -> dict[str, str]:
        calls.append(name)
        return {"name": name}

    with TestClient(app) as client:
        for _ in range(2):
            assert client.get("/d/x").json() == {"name": "x"}
    assert calls == ["x"]
