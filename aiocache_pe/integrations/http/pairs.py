"""Pairs of a transport and a client: the errors for those that do not fit together."""

from __future__ import annotations

from typing import Any, NoReturn

from aiocache_pe.exceptions import ConfigurationError

_LIBRARIES = frozenset(("httpx", "httpx2"))


def describe_class(value: object) -> str:
    """Return the name of an object's class with its library, such as ``httpx2.Client``."""
    kind = type(value)
    prefix = "" if kind.__module__ == "builtins" else f"{_get_library(kind)}."
    return prefix + kind.__qualname__


def refuse_client(transport: object, library: str, client: str, request: object = None) -> NoReturn:
    """Raise the error for a transport with a client that it does not fit.

    Args:
        transport: the transport.
        library: the name of its library.
        client: the name of the client's class.
        request: a request of the client, if there is one; it shows the client's library.
    """
    client_library = library if request is None else _get_library(type(request))
    raise ConfigurationError(
        f"{type(transport).__name__} of aiocache_pe.integrations.{library} must not be the "
        f"transport of {client_library}.{client}; an AsyncClient takes AsyncCacheTransport and a "
        f"Client takes CacheTransport; use the one of aiocache_pe.integrations.{client_library}"
    )


def check_request(transport: object, library: Any, request: object) -> None:
    """Raise `ConfigurationError` for a request of a client of another library."""
    if not isinstance(request, library.Request):
        client = "AsyncClient" if hasattr(transport, "aclose") else "Client"
        refuse_client(transport, library.__name__, client, request)


def refuse_use_as_client(transport: object) -> NoReturn:
    """Raise the error for a transport in the place of a client."""
    name = "cached_client" if hasattr(transport, "aclose") else "cached_sync_client"
    raise ConfigurationError(
        f"http_client must be a client; got the transport {type(transport).__name__}; "
        f"pass {name}(cache), or a client with transport={type(transport).__name__}(cache)"
    )


def check_inner(transport: object, library: Any, inner: object, method: str) -> None:
    """Raise `ConfigurationError` for an inner transport of another kind or library.

    Args:
        transport: the transport.
        library: its library.
        inner: the transport that it sends requests with.
        method: the name of the method that sends a request.
    """
    libraries = _LIBRARIES.intersection(map(_get_library, type(inner).__mro__))
    if hasattr(inner, method) and not libraries - {library.__name__}:
        return
    prefix = "Async" if "async" in method else ""
    raise ConfigurationError(
        f"transport of {type(transport).__name__} must be a transport with {method}(), such as "
        f"{library.__name__}.{prefix}HTTPTransport; got {describe_class(inner)}"
    )


def _get_library(kind: type) -> str:
    return kind.__module__.partition(".")[0]
