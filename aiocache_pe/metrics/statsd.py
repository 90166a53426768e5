"""StatsD: one UDP datagram for each event, with the labels as tags.

The lines have the form of DogStatsD, which Telegraf, Vector and the exporter of Prometheus read,
too. The socket never waits. A datagram is lost if the buffer of the system is full.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress

from aiocache_pe.events import Event
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.metrics.base import Measurement, measure

_UNSAFE = re.compile(r"[^\w./() -]")
_DEFAULT_PORT = 8125


class StatsdSink:
    """Sender of measurements to one server.

    Args:
        address: ``"host:port"``, ``"host"`` or ``"[::1]:port"``. The name is resolved once.

    Raises:
        ConfigurationError: the address is invalid, or its host is unknown.
    """

    def __init__(self, address: str) -> None:
        host, port = _parse_address(address)
        try:
            family, kind, protocol, _, target = socket.getaddrinfo(
                host, port, type=socket.SOCK_DGRAM
            )[0]
        except OSError as error:
            raise ConfigurationError(
                f"statsd must be the address of a server, such as 127.0.0.1:8125; got {address!r}, "
                f"whose host is unknown ({error})"
            ) from error
        self._socket = socket.socket(family, kind, protocol)
        self._socket.settimeout(0.0)
        with suppress(OSError):  # a network that is down; each datagram is lost until it is up
            self._socket.connect(target)

    def handle(self, event: Event, store: str, namespace: str) -> None:
        """See `Sink.handle`."""
        lines = [render(each) for each in measure(event, store, namespace)]
        if lines:
            with suppress(OSError):  # a full buffer, or no server
                self._socket.send("\n".join(lines).encode())

    def close(self) -> None:
        """See `Sink.close`."""
        self._socket.close()


def render(measurement: Measurement) -> str:
    """Return the line of a measurement; durations are in milliseconds.

    Example:
        >>> from aiocache_pe.metrics.base import LOAD_DURATION
        >>> render((LOAD_DURATION, 1.5, ("file", "default", "success")))
        'cache.load.duration:1500|ms|#store:file,namespace:default,result:success'
    """
    metric, amount, labels = measurement
    kind = {"counter": "c", "histogram": "ms", "gauge": "g"}[metric.kind]
    number = amount * 1000 if metric.kind == "histogram" else amount
    tags = zip(metric.labels, labels, strict=True)
    text = ",".join(f"{name}:{_UNSAFE.sub('_', label)}" for name, label in tags)
    return f"{metric.name}:{number:.10g}|{kind}|#{text}"


def _parse_address(address: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]\s]+))(?::(\d{1,5}))?", str(address))
    if match is None or not 0 < int(match[3] or _DEFAULT_PORT) < 1 << 16:
        raise ConfigurationError(
            f'statsd must be a "host:port", such as "127.0.0.1:8125"; got {address!r:.80}'
        )
    return match[1] or match[2], int(match[3] or _DEFAULT_PORT)
