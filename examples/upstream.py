"""Model server of the examples: the server in ``OPENAI_BASE_URL``, or a local one."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

from examples.llmserver.server import run_model_server

PORT = 8917
"""A fixed port, because the server's address is part of a request and therefore of its key."""
THINKING = 0.15  # seconds before each answer


@contextmanager
def open_model() -> Generator[tuple[str, str]]:
    """Yield the base URL and the name of the model.

    They come from ``OPENAI_BASE_URL`` and ``OPENAI_MODEL``. Without these variables the block
    runs a local server that has the same API and needs no key.
    """
    base_url = os.environ.get("OPENAI_BASE_URL")
    if base_url:
        yield base_url, os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
        return
    with run_model_server(THINKING, port=PORT) as server:
        yield f"{server.url}/v1", "tiny"


def get_api_key() -> str:
    """Return ``OPENAI_API_KEY``; the local server accepts any key."""
    return os.environ.get("OPENAI_API_KEY", "none")
