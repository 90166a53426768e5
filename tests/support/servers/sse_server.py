"""A loopback server that streams events as a language model's does, and clients for it."""

from __future__ import annotations

import asyncio
import http.client
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ("Once", "", " upon", "", "", " a", " time", "", "[DONE]")


class SseServer:
    """Sends one event for each that is given leave; the words are `WORDS`.

    Attributes:
        requests: how often it was asked.
        hung_up: how many clients went before the end.
        fails_at: which event to break the connection at, counted from 1; 0 for none.
    """

    def __init__(self) -> None:
        self.requests = self.hung_up = self.fails_at = 0
        self._leave = threading.Semaphore(0)
        self._ended = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                try:
                    outer._stream(self)
                except OSError:
                    outer.hung_up += 1

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
                """Quietly."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def allow(self, events: int = len(WORDS)) -> None:
        """Let some more events go."""
        for _ in range(events):
            self._leave.release()

    def close(self) -> None:
        self._ended = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _stream(self, handler: BaseHTTPRequestHandler) -> None:
        for number, word in enumerate(WORDS, 1):
            while not self._leave.acquire(timeout=0.02):
                if self._ended:
                    return
                handler.wfile.write(b": still here\n\n")
                handler.wfile.flush()
            if number == self.fails_at:
                linger = struct.pack("ii", 1, 0)
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                handler.connection.close()
                return
            handler.wfile.write(f"event: token\ndata: {word.replace(' ', '_')}\n\n".encode())
            handler.wfile.flush()


def word_of(line: bytes) -> str | None:
    """The word of a line, if it holds one."""
    if not line.startswith(b"data:"):
        return None
    return line.removeprefix(b"data:").strip().decode().replace("_", " ")


async def words_async(port: int) -> AsyncIterator[str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        await writer.drain()
        async for line in reader:
            word = word_of(line)
            if word is not None:
                yield word
    finally:
        writer.close()


def words_plain(port: int) -> Iterator[str]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", "/")
        for line in connection.getresponse():
            word = word_of(line)
            if word is not None:
                yield word
    finally:
        connection.close()
