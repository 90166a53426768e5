"""Redis URLs: which server, which kind of deployment, and how to speak of it safely.

======================  ==============================================================
``redis://``            one server; ``rediss://`` over TLS; ``unix://`` by a socket
``redis+sentinel://``   ``host:port,host:port/service/db``; TLS: ``rediss+sentinel://``
``redis+cluster://``    ``host:port,host:port``; TLS: ``rediss+cluster://``
======================  ==============================================================

A user and password stand before the hosts, as in every URL; the query holds settings of
`redis.asyncio`, for instance ``?socket_timeout=0.5&ssl_ca_certs=/etc/ca.pem``. What the client
would not know is refused here, for at its first call that would look like a server's failure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

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
_TLS = tuple(
    f"ssl_{name}"
    for name in ("ca_certs", "ca_data", "cert_reqs", "certfile", "check_hostname", "keyfile")
)
_SETTINGS = (
    *("client_name", "db", "health_check_interval", "max_connections", "password", "protocol"),
    *("socket_connect_timeout", "socket_keepalive", "socket_read_size", "socket_timeout"),
    "username",
)
"""Those of `redis.asyncio` that text can say, and that mean something to each kind of client."""


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
    if parts.fragment:
        raise ValueError("what comes after # means nothing")
    shown = f"{scheme}://{_without_user(parts.netloc)}{parts.path}"
    if scheme == "unix":
        if "@" in parts.path or (parts.netloc and "@" not in parts.netloc):
            raise ValueError("a password has a slash that is not encoded")
        return Address(kind, shown, (), options=_options(parts))
    hosts = tuple(_host(each, kind) for each in _without_user(parts.netloc).split(","))
    base = scheme.partition("+")[0]
    one_host = parts._replace(scheme=base, netloc=_first(parts.netloc))
    if kind == "sentinel":
        service, _, database = parts.path.strip("/").partition("/")
        if not service or "@" in service:  # that would be the end of a password with a slash
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
    database = parts.path.strip("/")
    if parts.scheme != "unix" and database and not database.isdecimal():
        # Not what stands there: a slash in a password would make it a part of that.
        raise ConfigurationError(
            "the database of a Redis URL is a number, as in redis://host:6379/0; special "
            "characters of a password are percent-encoded"
        )
    accepted = (*_SETTINGS, *_TLS) if parts.scheme == "rediss" else _SETTINGS
    for name in parse_qs(parts.query, keep_blank_values=True):
        if name in _DECODING:
            raise ConfigurationError(f"{name} cannot be set: records are bytes")
        if name not in accepted:
            # An @ is the end of a password that had a question mark in it.
            shown = "what the query names" if "@" in parts.query else repr(name)
            raise ConfigurationError(
                f"{shown} is no setting of a Redis URL; accepted: {', '.join(accepted)}"
            )
    if options.get("max_connections", 1) < 1:
        raise ConfigurationError("max_connections of a Redis URL is a number of at least 1")
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
