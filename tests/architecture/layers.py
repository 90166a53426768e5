"""The house's plan: which module lives on which floor, and who may call in a stranger.

A new module needs a line here. Put it on the lowest floor that lies above everything it
imports; if there is none, the module does two things and wants to be two.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.architecture.source import LIBRARY


@dataclass(frozen=True, slots=True)
class Layer:
    """A floor of the house: it may import from the floors below it.

    Attributes:
        name: what to call it.
        rooms: modules and packages, without ``aiocache_pe.``; a package's modules belong to
            it, and after ``package.*`` each of them is a room of its own.
        talk: whether rooms of this floor may import each other.
    """

    name: str
    rooms: tuple[str, ...]
    talk: bool = False


LAYERS = (
    Layer(
        "vocabulary",
        (
            "runtime.loops",
            "clock",
            "engine.stats",
            "exceptions",
            "runtime.fork",
            "keys.qualified_names",
            "_validation",
            "runtime.threads",
            "engine.token_savings",
            "backends.base",
            "eviction.base",
            "codecs.base",
            "record",
            "sentinels",
            "keys",
            "runtime",
            "context",
        ),
        talk=True,
    ),
    Layer("keys.value_parts", ("keys.value_parts", "eviction.expiry_buckets", "keys.signatures")),
    Layer(
        "tools",
        (
            "keys.signatures",
            "eviction.bounded_map",
            "keys.file_digest",
            "keys.glob",
            "keys.canonical",
            "backends.capabilities",
            "runtime.loops",
            "engine.token_savings",
            "engine.memory_entry",
        ),
    ),
    Layer(
        "parts",
        (
            "codecs",
            "events",
            "runtime.single_flight",
            "keys.store_keys",
            "runtime.loops",
            "eviction",
            "runtime.portal",
            "context",
            "engine.counters",
            "ttl",
        ),
    ),
    Layer("runtime.portal", ("runtime.portal",)),
    Layer("calls", ("keys.call_key", "keys.key_template"), talk=True),
    Layer("recordings", ("recordings",)),
    Layer("stores", ("backends", "backends.*")),
    Layer(
        "engine.engine",  # what a manager does, a file for each of its jobs
        (
            "loading.batch_loader",
            "engine.atomic_updates",
            "loading.compute",
            "loading.copying",
            "engine",
            "engine.engine",
            "runtime.coalescing",
            "loading",
            "loading.loader",
            "cache",
            "cache.pickling",
            "loading.background_refresh",
            "engine.stats_reporter",
            "loading.shared_state",
            "engine.namespace",
            "loading.stale",
            "engine.maintenance",
            "loading.options",
            "loading.lease_wait",
            "engine.bulk_operations",
            "engine.access_log",
            "loading.blocking",
        ),
        talk=True,
    ),
    Layer("cache.factory", ("cache.factory",)),
    Layer("cache.manager", ("cache.manager",)),
    Layer("cache.sync_manager", ("cache.sync_manager",)),
    Layer(
        "verbs",
        (
            "warming.call_file",
            "decorators",
            "cache.default_cache",
            "sync",
            "warming.calls",
            "warming.warm",
        ),
        talk=True,
    ),
    Layer("front", ("", "_exports"), talk=True),
    Layer("callers", ("__main__", "cli", "integrations", "testing"), talk=True),
)

NAMES_BACKENDS = ("cache.factory",)
"""Who may import a concrete store; everybody else sees protocols."""

IMPORTS_LATE = {
    "cli.main": "what fills a cache needs the decorators, and a read is not to wait for them",
    "warming.call_file": "a file of calls names the modules that its functions are in",
    "_exports": "a public name is imported when it is first used; what is in it only goes down",
    "runtime.portal": "anyio takes as long to import as all the rest; few programs need it",
    "integrations.pytest": "most runs of tests have nothing to do with recordings",
    "cache.factory": "a store's client or a policy is imported when one of that kind is wanted",
}
"""Who may import inside a function, or by a string, and why that hides no cycle."""

FOREIGN = {
    "aiofiles": ("backends.file",),
    "annotationlib": ("keys.signatures",),  # the standard library's, from Python 3.14 on
    "anyio": ("runtime.portal",),
    "backports": ("codecs",),
    "click": ("cli",),
    "compression": ("codecs",),  # the same
    "hiredis": ("backends.redis",),
    "httpx": ("integrations.httpx",),
    "httpx2": ("integrations.httpx2",),
    "langchain_core": ("integrations.langchain",),
    "pytest": ("integrations.pytest",),
    "msgspec": ("",),  # the record's own format: everywhere
    "numpy": ("codecs",),
    "pydantic": ("codecs",),
    "pydantic_core": ("codecs",),
    "redis": ("backends.redis",),
    "rich": ("cli",),
}
"""Where each third-party package may be imported; "" is everywhere."""


def room(module: str) -> tuple[int, str] | None:
    """The floor's number and the room of a module; ``None`` when it has no place."""
    inner = module.removeprefix(LIBRARY).removeprefix(".")
    best: tuple[int, str] | None = None
    for number, layer in enumerate(LAYERS):
        for name in layer.rooms:
            found = _room(inner, name)
            if found is not None and (best is None or len(found) > len(best[1])):
                best = (number, found)
    return best


def is_in(module: str, rooms: tuple[str, ...]) -> bool:
    """Whether a module is one of these, or inside one of them; "" holds everything."""
    inner = module.removeprefix(LIBRARY).removeprefix(".")
    return any(not name or inner == name or inner.startswith(f"{name}.") for name in rooms)


def _room(inner: str, name: str) -> str | None:
    if name.endswith(".*"):
        package = name.removesuffix("*")
        if not inner.startswith(package):
            return None
        return package + inner.removeprefix(package).partition(".")[0]
    if not name:
        return "" if not inner else None
    return name if inner == name or inner.startswith(f"{name}.") else None
