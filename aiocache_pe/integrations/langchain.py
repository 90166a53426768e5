"""A cache for LangChain's models.

It is set once, for all of them::

    from langchain_core.globals import set_llm_cache
    from aiocache_pe.integrations.langchain import LangChainCache

    set_llm_cache(LangChainCache(ttl="7d"))

Generations are stored as plain data, and only the classes of generations and messages are made
of them again: reading an entry runs no code that a forged one could choose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from aiocache_pe import context
from aiocache_pe.cache import sync_manager
from aiocache_pe.cache.default_cache import get_cache
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.context import Call, Mode
from aiocache_pe.exceptions import MissingDependencyError, SerializationError
from aiocache_pe.keys.call_key import make_label, make_short_key
from aiocache_pe.keys.canonical import canonicalize
from aiocache_pe.keys.store_keys import check_tags
from aiocache_pe.loading import blocking
from aiocache_pe.sentinels import DEFAULT, MISSING, Default
from aiocache_pe.ttl import TTL

try:
    from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
    from langchain_core.messages import message_to_dict, messages_from_dict
    from langchain_core.outputs import (
        ChatGeneration,
        ChatGenerationChunk,
        Generation,
        GenerationChunk,
    )
except ImportError as error:
    raise MissingDependencyError("caching LangChain's models", extra="langchain") from error

_WITH_TEXT = {kind.__name__: kind for kind in (Generation, GenerationChunk)}
_WITH_MESSAGE = {kind.__name__: kind for kind in (ChatGeneration, ChatGenerationChunk)}
_MODEL = ("model_name", "model", "model_id")


class LangChainCache(BaseCache):
    """LangChain's cache of what its models answered, async and blocking, over any store.

    What tells calls apart is what LangChain says: the prompt, and the model with its
    settings. Of these the key holds the beginning of what was said last, and a digest.

    Args:
        cache: where answers are kept, a blocking manager or an async one; by default the
            process's shared cache.
        ttl: how long they live; by default the cache's.
        namespace: where in the cache they go. `clear` removes all that is in it.
        tags: names for `CacheManager.delete_by_tag`.

    Raises:
        TypeError: the cache is none.
        InvalidTTLError: the time to live means nothing.

    Example:
        >>> from langchain_core.outputs import Generation
        >>> llm_cache = LangChainCache(cache, ttl="7d")
        >>> run(llm_cache.aupdate("Why?", "model=small", [Generation(text="Because.")]))
        >>> run(llm_cache.alookup("Why?", "model=small"))
        [Generation(text='Because.')]
    """

    def __init__(
        self,
        cache: CacheManager | sync_manager.CacheManager | None = None,
        *,
        ttl: TTL | Default = DEFAULT,
        namespace: str = "langchain",
        tags: Iterable[str] = (),
    ) -> None:
        manager = sync_manager.asynchronous(get_cache() if cache is None else cache)
        self._cache = manager.namespace(namespace)
        self._blocking = sync_manager.CacheManager.of(self._cache)
        self._ttl = self._cache.loader.resolve_ttl(ttl)
        self._tags = check_tags(tags)

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """What a model answered to a prompt, or ``None``."""
        found, key = self._steered(prompt, llm_string)
        return self._read(await self._cache.get(key) if key else found)

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The same, blocking."""
        found, key = self._steered(prompt, llm_string)
        return self._read(self._blocking.get(key) if key else found)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Keep what a model answered; not what cannot be kept exactly, which is counted."""
        value = self._written(return_val)
        tape = context.current_cassette()
        if tape is not None and value is not None:
            await tape.store(_call(prompt, llm_string), value)
        elif value is not None and context.current_mode() not in (Mode.BYPASS, Mode.READ_ONLY):
            await self._cache.set(_key(prompt, llm_string), value, self._ttl, tags=self._tags)

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """The same, blocking."""
        blocking.wait_for(self.aupdate, prompt, llm_string, return_val, otherwise=None)

    async def aclear(self, **kwargs: Any) -> None:
        """Forget all answers in the namespace."""
        await self._cache.clear()

    def clear(self, **kwargs: Any) -> None:
        """The same, blocking."""
        self._blocking.clear()

    def _steered(self, prompt: str, llm_string: str) -> tuple[Any, str]:
        """What a recording has, or nothing; or the key to ask the cache for."""
        tape = context.current_cassette()
        if tape is not None:
            found = tape.find(_call(prompt, llm_string))
            return (None if found is MISSING else found), ""
        if context.current_mode() in (Mode.BYPASS, Mode.REFRESH):
            return None, ""
        return None, _key(prompt, llm_string)

    def _read(self, value: Any) -> list[Generation] | None:
        """The generations in an entry; ``None`` and counted if it is none of ours."""
        try:
            return None if value is None else _generations(value)
        except Exception as error:  # noqa: BLE001 - whatever stands there, it is a miss
            self._cache.loader.namespace.count_failure("decode", error)
            return None

    def _written(self, generations: RETURN_VAL_TYPE) -> dict[str, Any] | None:
        """What is stored of generations, if that gives them back."""
        error: Exception
        try:
            value = {"generations": [_as_data(each) for each in generations], **_used(generations)}
            if _generations(value) == list(generations):
                return value
            error = SerializationError("LangChain's messages do not give these generations back")
        except Exception as raised:  # noqa: BLE001 - classes of users, which may raise anything
            error = raised
        self._cache.loader.namespace.count_failure("encode", error)
        return None


def _key(prompt: str, llm_string: str) -> str:
    words = make_label(_said(_messages(prompt)) or prompt)
    return f"{words}:{make_short_key(canonicalize((prompt, llm_string)))}"


def _call(prompt: str, llm_string: str) -> Call:
    """What a call is recorded as."""
    messages = _messages(prompt)
    arguments = {"prompt": messages or prompt, "llm": llm_string}
    text = _said(messages) or prompt
    return Call(_key(prompt, llm_string), "langchain", "langchain", arguments, text)


def _messages(prompt: str) -> list[dict[str, Any]]:
    """The messages that LangChain wrote as JSON; none if the prompt is a plain text."""
    try:
        messages = msgspec.json.decode(prompt)
        return [each["kwargs"] for each in messages]
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError, KeyError):
        return []


def _said(messages: Sequence[Any]) -> str | None:
    """What the last message says, if that is a text."""
    content = messages[-1].get("content") if messages and isinstance(messages[-1], dict) else None
    return content if isinstance(content, str) else None


def _as_data(generation: Generation) -> dict[str, Any]:
    name = type(generation).__name__
    if isinstance(generation, ChatGeneration):
        _WITH_MESSAGE[name]  # raises what is none of these classes
        content: dict[str, Any] = {"message": message_to_dict(generation.message)}
    else:
        _WITH_TEXT[name]
        content = {"text": generation.text}
    return {"type": name, **content, "generation_info": generation.generation_info}


def _generations(value: Any) -> list[Generation]:
    """The generations in an entry; raises anything if it was not written here."""
    generations: list[Generation] = []
    for each in value["generations"]:
        info = each["generation_info"]
        if each["type"] in _WITH_MESSAGE:
            [message] = messages_from_dict([each["message"]])
            made: Any = _WITH_MESSAGE[each["type"]]
            generations.append(made(message=message, generation_info=info))
        else:
            generations.append(_WITH_TEXT[each["type"]](text=each["text"], generation_info=info))
    return generations


def _used(generations: Sequence[Generation]) -> dict[str, Any]:
    """The model and its count of tokens, where a message tells them."""
    for each in generations:
        message = getattr(each, "message", None)
        usage = getattr(message, "usage_metadata", None)
        if usage:
            metadata = getattr(message, "response_metadata", {})
            model = next((metadata[name] for name in _MODEL if metadata.get(name)), None)
            return {"model": model, "usage": dict(usage)}
    return {}
