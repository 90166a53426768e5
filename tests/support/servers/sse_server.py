"""Loopback server that streams events as a language model's server does, and clients for it."""

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
    """A server that answers each request with the events of `WORDS`, one for each permit.

    Attributes:
        requests: number of requests.
        hang_ups: number of clients that closed the connection before the end.
        fails_at: number of the event, from 1, at which the connection breaks; 0 for none.
    """

    def __init__(self) -> None:
        self.requests = self.hang_ups = self.fails_at = 0
        self._permits = threading.Semaphore(0)
        self._is_closed = False
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
                    outer.hang_ups += 1

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def allow(self, events: int = len(WORDS)) -> None:
        """Permit some more events."""
        for _ in range(events):
            self._permits.release()

    def close(self) -> None:
        self._is_closed = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _stream(self, handler: BaseHTTPRequestHandler) -> None:
        for number, word in enumerate(WORDS, 1):
            while not self._permits.acquire(timeout=0.02):
                if self._is_closed:
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


def parse_word(line: bytes) -> str | None:
    """Return the word of a line; ``None`` if the line is no data of an event."""
    if not line.startswith(b"data:"):
        return None
    return line.removeprefix(b"data:").strip().decode().replace("_", " ")


async def read_words_async(port: int) -> AsyncIterator[str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        await writer.drain()
        async for line in reader:
            word = parse_word(line)
            if word is not None:
                yield word
    finally:
        writer.close()


def read_words(port: int) -> Iterator[str]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", "/")
        for line in connection.getresponse():
            word = parse_word(line)
            if word is not None:
                yield word
    finally:
        connection.close()
