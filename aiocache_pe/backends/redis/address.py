"""Redis URLs: which server, which kind of deployment, and how to speak of it safely.

======================  ==============================================================
``redis://``            one server; ``rediss://`` over TLS; ``unix://`` by a socket
``redis+sentinel://``   ``host:port,host:port/service/db``; TLS: ``rediss+sentinel://``
``redis+cluster://``    ``host:port,host:port``; TLS: ``rediss+cluster://``
======================  ==============================================================

A user and password stand before the hosts, as in every URL; the query holds settings of
`redis.asyncio`, for instance ``?socket_timeout=0.5&ssl_ca_certs=/etc/ca.pem``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from redis.asyncio.connection import parse_url

from aiocache_pe.exceptions import ConfigurationError

Kind = Literal["standalone", "sentinel", "cluster"]

KINDS: dict[str, Kind] = {
    "redis": "standalone",
    "rediss": "standalone",
    "unix": "standalone",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
_DEFAULT_PORTS = {"standalone": 6379, "cluster": 6379, "sentinel": 26379}
_DECODING = ("decode_responses", "encoding", "encoding_errors")


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL.

    Attributes:
        kind: the deployment.
        shown: the URL without user, password and query, for logs and errors.
        hosts: servers, sentinels or startup nodes.
        service: the Sentinel's name for the primary.
        options: settings for connections, secrets among them.
    """

    kind: Kind
    shown: str
    hosts: tuple[tuple[str, int], ...]
    service: str = ""
    options: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)


def parse(url: str) -> Address:
    """Read a URL.

    Raises:
        ConfigurationError: it is none, without saying the secrets in it.

    Example:
        >>> parse("redis://user:secret@example.org:6380/2").shown
        'redis://example.org:6380/2'
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in KINDS:
        shown = repr(scheme[:40]) if separator else "this"  # without one, it may be a password
        raise ConfigurationError(
            f"{shown} is no scheme of a Redis URL; accepted: "
            f"{', '.join(name + '://' for name in KINDS)}"
        )
    try:
        return _parsed(url, scheme, KINDS[scheme])
    except ValueError as error:
        if isinstance(error, ConfigurationError):
            raise
        # Neither the URL nor what the parser says of it: both may hold the password.
        raise ConfigurationError(
            f"the {scheme} URL cannot be read; accepted: {scheme}://user:password@host:port/..., "
            "with special characters percent-encoded"
        ) from None


def _parsed(url: str, scheme: str, kind: Kind) -> Address:
    parts = urlsplit(url)
    shown = f"{scheme}://{_without_user(parts.netloc)}{parts.path}"
    if scheme == "unix":
        return Address(kind, shown, (), options=_options(parts))
    hosts = tuple(_host(each, kind) for each in _without_user(parts.netloc).split(","))
    base = scheme.partition("+")[0]
    one_host = parts._replace(scheme=base, netloc=_first(parts.netloc))
    if kind == "sentinel":
        service, _, database = parts.path.strip("/").partition("/")
        if not service:
            raise ConfigurationError(
                f"{scheme} names the service after the hosts: {scheme}://host:26379/service"
            )
        options = _options(one_host._replace(path=f"/{database}"))
        return Address(kind, shown, hosts, unquote(service), options)
    options = _options(one_host)
    if kind == "cluster" and options.pop("db", 0):
        raise ConfigurationError("a Redis Cluster has only database 0")
    if kind == "standalone" and len(hosts) > 1:
        raise ConfigurationError(
            f"{scheme}:// names one server; several are a redis+sentinel:// or redis+cluster://"
        )
    return Address(kind, shown, hosts, options=options)


def _options(parts: SplitResult) -> dict[str, Any]:
    options: dict[str, Any] = dict(parse_url(parts.geturl()))
    for name in _DECODING:
        if name in options:
            raise ConfigurationError(f"{name} cannot be set: records are bytes")
    options.pop("host", None)
    options.pop("port", None)
    return options


def _without_user(netloc: str) -> str:
    return netloc.rpartition("@")[2]


def _first(netloc: str) -> str:
    user, at, hosts = netloc.rpartition("@")
    return user + at + hosts.partition(",")[0]


def _host(text: str, kind: Kind) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return unquote(parts.hostname or "localhost"), parts.port or _DEFAULT_PORTS[kind]
