"""Which model server the examples ask: yours, or one on this machine."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

from examples.llmserver.server import model_server

PORT = 8917
"""Fixed, for the server's address is part of what a request asks, and so of its key."""
THINKING = 0.15  # seconds before each answer


@contextmanager
def model() -> Generator[tuple[str, str]]:
    """The base URL and the model to ask.

    They are those of ``OPENAI_BASE_URL`` and ``OPENAI_MODEL``; without them a server begins on
    this machine that speaks the same API, needs no key, and ends with the block.
    """
    base_url = os.environ.get("OPENAI_BASE_URL")
    if base_url:
        yield base_url, os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
        return
    with model_server(THINKING, port=PORT) as server:
        yield f"{server.url}/v1", "tiny"


def api_key() -> str:
    """Yours; the server on this machine wants none."""
    return os.environ.get("OPENAI_API_KEY", "none")
