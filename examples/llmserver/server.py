"""HTTP server that answers each request in a thread and records it."""

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

_ANSWERS = {
    "/v1/chat/completions": shapes.make_chat,
    "/v1/embeddings": shapes.make_embeddings,
    "/v1/responses": shapes.make_response,
    "/v1/messages": shapes.make_message,
    "/v1/messages/count_tokens": shapes.count_message_tokens,
    "/v1/messages/batches": shapes.make_batch,
    "/v1/batches": shapes.make_batch,
    "/v1/moderations": shapes.make_moderations,
    "/v1/audio/transcriptions": shapes.make_transcription,
    "/v1/models/tiny:generateContent": shapes.make_gemini,
    "/v1/models/tiny:batchEmbedContents": shapes.make_gemini_embeddings,
}
_STREAMS = {
    "/v1/chat/completions": shapes.stream_chat,
    "/v1/messages": shapes.stream_message,
    "/v1/responses": shapes.stream_response,
    "/v1/models/tiny:streamGenerateContent": shapes.stream_gemini,
}


class ModelServer(ThreadingHTTPServer):
    """Local model server.

    Args:
        seconds: delay before each answer.
        port: port to listen on; 0 for any free port.

    Attributes:
        url: base URL of the server.
        requests: path and body of each request.
        headers: headers of each request, with their names in lower case.
        failures: statuses for the next responses, instead of answers.
        keys: the API keys that are valid; empty for any.
        cut: whether streams are truncated.
        gate: event that requests wait for; set by default.
    """

    daemon_threads = True
    request_queue_size = 1000

    def __init__(self, seconds: float = 0.0, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.seconds = seconds
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.failures: list[int] = []
        self.keys: set[str] = set()
        self.cut = False
        self.gate = threading.Event()
        self.gate.set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the error: clients may disconnect at any time."""


@contextmanager
def run_model_server(seconds: float = 0.0, port: int = 0) -> Generator[ModelServer]:
    """Run a server while the block runs."""
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
    server: ModelServer  # pyright: ignore[reportIncompatibleVariableOverride] - set by the server

    def do_POST(self) -> None:
        """Answer a request."""
        path, content = self.path.partition("?")[0], self._read()
        is_json = "json" in self.headers["content-type"]
        body = json.loads(content) if is_json else {"size": len(content)}
        self.server.headers.append({name.lower(): self.headers[name] for name in self.headers})
        self.server.requests.append((self.path, body))
        self.server.gate.wait()
        time.sleep(self.server.seconds)
        if self.server.failures:
            status = self.server.failures.pop(0)
            self._send_json({"error": {"message": "not now", "type": "overloaded"}}, status)
        elif self.server.keys and self.headers["authorization"][7:] not in self.server.keys:
            error = {"message": self.headers["authorization"], "type": "authentication_error"}
            self._send_json({"error": error}, 401)
        elif body.get("stream") or path not in _ANSWERS:
            self._send_stream(_STREAMS[path](body))
        else:
            self._send_json(_ANSWERS[path](body))

    def _read(self) -> bytes:
        if self.headers["transfer-encoding"] != "chunked":
            return self.rfile.read(int(self.headers["content-length"]))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        """Log nothing."""

    def _send_head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("x-request-id", f"req_{len(self.server.requests)}")
        self.send_header("set-cookie", "session=very-secret")
        self.send_header("x-ratelimit-remaining-requests", "41")
        self.end_headers()

    def _send_json(self, answer: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(answer).encode()
        coding = {}
        if "gzip" in self.headers.get("accept-encoding", ""):
            content, coding = gzip.compress(content), {"content_encoding": "gzip"}
        length = str(len(content))
        self._send_head(status, content_type="application/json", content_length=length, **coding)
        self.wfile.write(content)

    def _send_stream(self, events: Iterator[str]) -> None:
        self._send_head(200, content_type="text/event-stream", transfer_encoding="chunked")
        for number, event in enumerate(events):
            if self.server.cut and number == 2:  # noqa: PLR2004 - any place in the middle
                break
            content = event.encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
