"""Redis URLs: the server, the kind of deployment, and the settings of connections.

======================  ==============================================================
``redis://``            one server; ``rediss://`` over TLS; ``unix://`` for a socket
``redis+sentinel://``   ``host:port,host:port/service/db``; TLS: ``rediss+sentinel://``
``redis+cluster://``    ``host:port,host:port``; TLS: ``rediss+cluster://``
======================  ==============================================================

User and password precede the hosts, as in every URL; those of the Sentinels are settings. The
query contains settings of `redis.asyncio`, for instance
``?socket_timeout=0.5&ssl_ca_certs=/etc/ca.pem``. Settings that the client does not know are refused
here. At its first call they would look like a server's failure.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
"""The kind of deployment for each scheme."""

_DEFAULT_PORTS = {"standalone": 6379, "cluster": 6379, "sentinel": 26379}
_DECODING_SETTINGS = ("decode_responses", "encoding", "encoding_errors")
_TLS_SETTINGS = tuple(
    f"ssl_{name}"
    for name in ("ca_certs", "ca_data", "cert_reqs", "certfile", "check_hostname", "keyfile")
)
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_CERT_REQS = ("required", "optional", "none")
_SENTINEL_SETTINGS = ("sentinel_username", "sentinel_password", "sentinel_ssl")
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_SETTINGS = (
    *("client_name", "db", "health_check_interval", "max_connections", "password", "protocol"),
    *("socket_connect_timeout", "socket_keepalive", "socket_read_size", "socket_timeout"),
    "username",
)
"""Settings of `redis.asyncio` that a text can express and that each kind of client knows."""


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL.

    Attributes:
        kind: the deployment.
        safe_url: the URL without user, password and query, for logs and errors.
        hosts: the server, the Sentinels or the startup nodes.
        service: the Sentinels' name of the primary.
        options: settings of connections, secrets included.
        sentinel_options: settings of connections to the Sentinels, beside the time-outs.
        sentinel_tls: whether these connections use TLS, with the settings of the others.
    """

    kind: Kind
    safe_url: str
    hosts: tuple[tuple[str, int], ...]
    service: str = ""
    options: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    sentinel_options: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    sentinel_tls: bool = False


def parse(url: str) -> Address:
    """Parse a URL.

    Raises:
        ConfigurationError: it is not a Redis URL; the message contains no secret of it.

    Example:
        >>> parse("redis://user:secret@example.org:6380/2").safe_url
        'redis://example.org:6380/2'
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in KINDS:
        given = repr(scheme[:40]) if separator else "none"  # without one, it may be a password
        raise ConfigurationError(
            "the scheme of a Redis URL must be one of "
            f"{', '.join(name + '://' for name in KINDS)}; got {given}"
        )
    try:
        return _parse_address(url, scheme, KINDS[scheme])
    except ConfigurationError:
        raise
    except ValueError:
        # Neither the URL nor the parser's message is shown: both may contain the password.
        raise ConfigurationError(
            f"the {scheme} URL must have the form {scheme}://user:password@host:port/...; "
            "special characters must be percent-encoded"
        ) from None


def _parse_address(url: str, scheme: str, kind: Kind) -> Address:
    parts = urlsplit(url)
    if parts.fragment:
        raise ValueError("the URL has a fragment")
    user, at, netloc = parts.netloc.rpartition("@")
    safe_url = f"{scheme}://{netloc}{parts.path}"
    if scheme == "unix":
        if "@" in parts.path or (netloc and not at):
            raise ValueError("a password contains a slash that is not encoded")
        return Address(kind, safe_url, (), options=_parse_options(parts))

    names = netloc.split(",")
    hosts = tuple(_parse_host(name, kind) for name in names)
    one_host = parts._replace(scheme=scheme.partition("+")[0], netloc=user + at + names[0])
    if kind == "sentinel":
        service, _, database = parts.path.strip("/").partition("/")
        if not service or "@" in service:  # the end of a password that contains a slash
            raise ConfigurationError(
                f"a {scheme} URL must name the service after the hosts, as in "
                f"{scheme}://host:26379/service"
            )
        options = _parse_options(one_host._replace(path=f"/{database}"), _SENTINEL_SETTINGS)
        sentinel_tls = _parse_boolean("sentinel_ssl", options.pop("sentinel_ssl", "false"))
        if sentinel_tls and one_host.scheme != "rediss":
            raise ConfigurationError(
                "sentinel_ssl needs the scheme rediss+sentinel://; the primary uses TLS, too"
            )
        sentinel_options = {
            name: str(options.pop(f"sentinel_{name}"))
            for name in ("username", "password")
            if f"sentinel_{name}" in options
        }
        address = Address(kind, safe_url, hosts, unquote(service), options)
        return replace(address, sentinel_options=sentinel_options, sentinel_tls=sentinel_tls)

    options = _parse_options(one_host)
    if kind == "cluster" and (database := options.pop("db", 0)):
        raise ConfigurationError(f"the database of a Redis Cluster must be 0; got {database}")
    if kind == "standalone" and len(hosts) > 1:
        raise ConfigurationError(
            f"a {scheme}:// URL must name one server; got {len(hosts)}. Several servers need "
            "redis+sentinel:// or redis+cluster://"
        )
    return Address(kind, safe_url, hosts, options=options)


def _parse_options(parts: SplitResult, more_settings: Sequence[str] = ()) -> dict[str, Any]:
    options: dict[str, Any] = dict(parse_url(parts.geturl()))
    database = parts.path.strip("/")
    if parts.scheme != "unix" and database and not database.isdecimal():
        # The text is not shown: if a password contains a slash, it is a part of the password.
        raise ConfigurationError(
            "the database of a Redis URL must be a number, as in redis://host:6379/0; special "
            "characters of a password must be percent-encoded"
        )
    tls_settings = _TLS_SETTINGS if parts.scheme == "rediss" else ()
    accepted = (*_SETTINGS, *tls_settings, *more_settings)
    for name in parse_qs(parts.query, keep_blank_values=True):
        if name in _DECODING_SETTINGS:
            raise ConfigurationError(f"{name} must not be set in a Redis URL: records are bytes")
        if name not in accepted:
            # An @ is the end of a password that contains a question mark.
            given = "another name" if "@" in parts.query else repr(name)
            raise ConfigurationError(
                f"a setting in a Redis URL must be one of {', '.join(accepted)}; got {given}"
            )
    max_connections = options.get("max_connections", 1)
    if max_connections < 1:
        raise ConfigurationError(
            f"max_connections of a Redis URL must be at least 1; got {max_connections}"
        )
    _check_tls(options)
    options.pop("host", None)
    options.pop("port", None)
    return options


def _check_tls(options: Mapping[str, Any]) -> None:
    requirement = options.get("ssl_cert_reqs", "required")
    if requirement not in _CERT_REQS:
        raise ConfigurationError(
            f"ssl_cert_reqs of a Redis URL must be one of {', '.join(_CERT_REQS)}; got "
            f"{requirement!r:.40}"
        )
    for name in _TLS_FILES:
        path = options.get(name)
        if path is not None and not (os.path.isfile(path) and os.access(path, os.R_OK)):  # noqa: PTH113 - the only use of a path here
            raise ConfigurationError(
                f"{name} of a Redis URL must be the path of a readable file; got {path!r:.200}"
            )


def _parse_boolean(name: str, text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ConfigurationError(f"{name} of a Redis URL must be true or false; got {text!r:.40}")
    return _BOOLEANS[text.lower()]


def _parse_host(text: str, kind: Kind) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return unquote(parts.hostname or "localhost"), parts.port or _DEFAULT_PORTS[kind]
