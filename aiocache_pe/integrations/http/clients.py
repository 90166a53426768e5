"""Clients around the caching transports: everything else of a client stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.integrations.http.pairs import describe_class

Client = TypeVar("Client")

_MAX_CONNECTIONS, _MAX_IDLE_CONNECTIONS = 1000, 100  # as in the SDKs of OpenAI and Anthropic


def make_client(
    library: Any,
    kind: type[Client],
    make_transport: Callable[..., Any],
    client: Client | None,
    options: dict[str, Any] | None,
) -> Client:
    """Return a client whose transports are wrapped, those of its proxies too.

    The time-out of a new client stays the library's, because an SDK then uses its own.

    Args:
        library: httpx or httpx2.
        kind: the class of a new client.
        make_transport: makes a caching transport; takes the argument ``transport``.
        client: the client to change; ``None`` for a new one with the defaults of the SDKs.
        options: arguments of a new client.

    Raises:
        ConfigurationError: the client has no transports, or options are given with it.
    """
    if client is None:
        limits = library.Limits(
            max_connections=_MAX_CONNECTIONS, max_keepalive_connections=_MAX_IDLE_CONNECTIONS
        )
        client = kind(**{"limits": limits, "follow_redirects": True, **(options or {})})
    elif options:
        raise ConfigurationError("options must not be given together with a client; omit one")
    # No public argument keeps the proxies of the environment together with a transport.
    fields = getattr(client, "__dict__", {})
    if not isinstance(client, kind) or not fields.keys() >= {"_transport", "_mounts"}:
        raise ConfigurationError(
            f"client must be a {library.__name__}.{kind.__name__}; got {describe_class(client)}; "
            "cached_client changes an AsyncClient and cached_sync_client a Client, each of the "
            "library in the name of its module"
        )
    fields["_transport"] = make_transport(transport=fields["_transport"])
    fields["_mounts"] = {
        pattern: None if transport is None else make_transport(transport=transport)
        for pattern, transport in fields["_mounts"].items()
    }
    return client
