"""The server: each request in a thread, and a count of them."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from examples.llmserver import shapes

_WHOLE = {
    "/v1/chat/completions": shapes.chat,
    "/v1/embeddings": shapes.embeddings,
    "/v1/responses": shapes.response,
    "/v1/messages": shapes.message,
}
_STREAMS = {
    "/v1/chat/completions": shapes.chat_chunks,
    "/v1/messages": shapes.message_events,
    "/v1/responses": shapes.response_events,
}


class ModelServer(ThreadingHTTPServer):
    """A model server on this machine.

    Args:
        seconds: how long it thinks before each answer.
        port: where to listen; 0 for any port that is free.

    Attributes:
        url: where it is.
        requests: the paths it was asked for, and what was asked.
        failures: statuses to answer the next requests with, instead of an answer.
        cut: whether the next streams end in the middle.
        gate: requests wait while it is not set.
    """

    daemon_threads = True

    def __init__(self, seconds: float = 0.0, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.seconds = seconds
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.failures: list[int] = []
        self.cut = False
        self.gate = threading.Event()
        self.gate.set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hangs up is none of ours."""


@contextmanager
def model_server(seconds: float = 0.0, port: int = 0) -> Generator[ModelServer]:
    """Run one for the time of the block."""
    with ModelServer(seconds, port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer  # pyright: ignore[reportIncompatibleVariableOverride] - made by it

    def do_POST(self) -> None:
        """Answer a request."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append((self.path, body))
        self.server.gate.wait()
        time.sleep(self.server.seconds)
        if self.server.failures:
            status = self.server.failures.pop(0)
            self._whole({"error": {"message": "not now", "type": "overloaded"}}, status)
        elif body.get("stream"):
            self._stream(_STREAMS[self.path](body))
        else:
            self._whole(_WHOLE[self.path](body))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""

    def _head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("x-request-id", f"req_{len(self.server.requests)}")
        self.send_header("set-cookie", "session=very-secret")
        self.send_header("x-ratelimit-remaining-requests", "41")
        self.end_headers()

    def _whole(self, answer: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(answer).encode()
        coding = {}
        if "gzip" in self.headers.get("accept-encoding", ""):
            content, coding = gzip.compress(content), {"content_encoding": "gzip"}
        length = str(len(content))
        self._head(status, content_type="application/json", content_length=length, **coding)
        self.wfile.write(content)

    def _stream(self, events: Iterator[str]) -> None:
        self._head(200, content_type="text/event-stream", transfer_encoding="chunked")
        for number, event in enumerate(events):
            if self.server.cut and number == 2:  # noqa: PLR2004 - any place in the middle
                break
            content = event.encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
