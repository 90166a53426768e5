"""Cache for LangChain's models.

One call sets it for all models::

    from langchain_core.globals import set_llm_cache
    from aiocache_pe.integrations.langchain import LangChainCache

    set_llm_cache(LangChainCache(ttl="7d"))

Generations are stored as plain data. Reading an entry constructs only the known classes of
generations and messages, so a forged entry cannot choose code to run.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from aiocache_pe import context
from aiocache_pe.cache import sync_manager
from aiocache_pe.cache.default_cache import get_cache
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.codecs.classes import registry
from aiocache_pe.context import Call, Mode
from aiocache_pe.engine.computation import Computation
from aiocache_pe.exceptions import MissingDependencyError, SerializationError
from aiocache_pe.integrations.http.request_control import (
    HEADER,
    NO_CONTROL,
    RequestControl,
    parse_control,
)
from aiocache_pe.keys.canonical import canonicalize
from aiocache_pe.keys.short_keys import make_label, make_sample_key, make_short_key
from aiocache_pe.keys.store_keys import check_tags
from aiocache_pe.loading import blocking
from aiocache_pe.loading.options import LoadPolicy
from aiocache_pe.loading.sampling import SampleNumbers, check_samples
from aiocache_pe.loading.watch import Watch, make_recorded
from aiocache_pe.sentinels import DEFAULT, MISSING, PENDING, Default
from aiocache_pe.ttl import TTL

try:
    from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
    from langchain_core.messages import BaseMessage, messages_from_dict
    from langchain_core.outputs import (
        ChatGeneration,
        ChatGenerationChunk,
        Generation,
        GenerationChunk,
    )
    from pydantic import BaseModel
except ImportError as error:
    raise MissingDependencyError("caching LangChain's models", extra="langchain") from error

_TEXT_CLASSES = {kind.__name__: kind for kind in (Generation, GenerationChunk)}
_MESSAGE_CLASSES = {kind.__name__: kind for kind in (ChatGeneration, ChatGenerationChunk)}
_MAX_LOOKUPS = 100  # of one context without an update
_NAME = "langchain"
_MODEL_FIELDS = ("model_name", "model", "model_id")
_CLASS = re.compile(r"<class '([^']+)'>")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{4,}>")
_CONTROL = re.compile(
    rf"""(["']){HEADER}\1: (["'])(?P<first>[^"']*)\2, """
    rf"""|(?:, )?(["']){HEADER}\4: (["'])(?P<later>[^"']*)\5""",
    re.IGNORECASE,
)
_NO_HEADERS = re.compile(r"""\('extra_headers', \{\}\), |, \('extra_headers', \{\}\)""")
_schemas: WeakKeyDictionary[type[BaseModel], str] = WeakKeyDictionary()

logger = logging.getLogger("aiocache_pe")


class _Lookup(NamedTuple):
    """A lookup that found no answer: the number of its sample, and its computation."""

    number: int
    computation: Computation | None


_lookups: ContextVar[Mapping[tuple[int, str], _Lookup]] = ContextVar("aiocache_pe_lookups")


class LangChainCache(BaseCache):
    """Cache of the answers of LangChain's models, async and blocking, over any store.

    LangChain identifies a call by its prompt, and by the model with its settings. The key
    contains the beginning of the last message, and a digest of both. For structured output it
    also contains a digest of the schema. The parsed object is restored with its class, which
    LangChain names in the settings.

    Args:
        cache: the cache, async or blocking; by default the process's shared cache.
        ttl: the lifetime of answers; by default the cache's.
        namespace: the namespace of the entries. `clear` removes all entries in it.
        tags: names for `CacheManager.delete_by_tag`.
        samples: the number of different answers to keep for each prompt. Repeated prompts get
            them in turn; see `aiocache_pe.sample`.

    Raises:
        TypeError: ``cache`` is not a cache manager.
        InvalidTTLError: the lifetime is not valid.

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
        samples: int | None = None,
    ) -> None:
        manager = sync_manager.get_async_manager(get_cache() if cache is None else cache)
        self._cache = manager.namespace(namespace)
        self._blocking = sync_manager.CacheManager.of(self._cache)
        self._ttl = self._cache.loader.resolve_ttl(ttl)
        self._tags = check_tags(tags)
        self._numbers = None if samples is None else SampleNumbers(check_samples(samples))

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """Return the stored answer to a prompt; ``None`` if there is none."""
        control, llm_string = _split_control(llm_string)
        with control.enter():
            value, place = self._find(prompt, llm_string)
            if place:
                value, computation = await self._load(make_sample_key(*place))
                self._note_lookup(*place, value, computation)
            return self._decode(None if value is MISSING else value)

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """Return the stored answer to a prompt; ``None`` if there is none. Block meanwhile."""
        control, llm_string = _split_control(llm_string)
        with control.enter():
            value, place = self._find(prompt, llm_string)
            if place:
                nothing: tuple[Any, Computation | None] = (MISSING, None)
                load, key = self._load, make_sample_key(*place)
                value, computation = blocking.wait_for(load, key, otherwise=nothing)
                self._note_lookup(*place, value, computation)
            return self._decode(None if value is MISSING else value)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Store an answer. An answer that cannot be stored exactly is counted as a failure."""
        control, llm_string = _split_control(llm_string)
        with control.enter():
            base = self._make_base(prompt, llm_string)
            await self._update(prompt, llm_string, base, return_val, control)
            self._forget_lookup(base)

    async def _update(
        self,
        prompt: str,
        llm_string: str,
        base: str,
        answer: RETURN_VAL_TYPE,
        control: RequestControl,
    ) -> None:
        ttl = self._ttl if control.ttl is DEFAULT else control.ttl
        number, computation = self._find_lookup(base)
        key = make_sample_key(base, number)
        value = self._encode(key, answer)
        if value is None:
            return
        cassette = context.current_cassette()
        if cassette is not None:
            await cassette.store(_make_call(prompt, llm_string, number), value)
        elif context.current_mode() not in (Mode.BYPASS, Mode.READ_ONLY):
            if not self._has_identity(llm_string):
                return
            if computation is None:
                await self._cache.set(key, value, ttl, tags=self._tags)
                return
            tokens, computer = computation.tokens or {}, self._cache.loader.computer
            policy = LoadPolicy(self._cache.loader.resolve_ttl(ttl))
            await computer.put(value, policy, tokens, 0.0, computation)

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Store an answer, and block until it is stored."""
        blocking.wait_for(self.aupdate, prompt, llm_string, return_val, otherwise=None)
        _, llm_string = _split_control(llm_string)
        self._forget_lookup(self._make_base(prompt, llm_string))

    async def aclear(self, **kwargs: Any) -> None:
        """Remove all answers in the namespace."""
        await self._cache.clear()

    def clear(self, **kwargs: Any) -> None:
        """Remove all answers in the namespace, and block until they are removed."""
        self._blocking.clear()

    def _peek(self, key: str) -> Any:
        """Return a stored value, or `MISSING` or `PENDING`; then `_load` is the next step."""
        namespace, control = self._cache.loader.open_namespace(), context.current_control()
        is_plain = control is None or (control.max_age is None and control.calls is None)
        return namespace.peek(namespace.prefix + key) if is_plain else PENDING

    async def _load(self, key: str) -> tuple[Any, Computation]:
        """Return a stored value or `MISSING`, and the computation that begins now."""
        loader = self._cache.loader
        namespace = loader.namespace
        computation = namespace.make_computation(namespace.prefix + key, self._tags)
        with _watch() as watch:
            watch.note(namespace, computation.key)
            max_age = watch.control.max_age
            found = await loader.computer.find(computation.key, max_age, computation)
            if found is not MISSING:
                watch.note(namespace, computation.key, found)
                return found.value, computation
        namespace.count_miss(computation.key)
        computation.tokens = await loader.computer.get_tag_tokens(self._tags)
        return MISSING, computation

    def _choose_number(self, key: str) -> int:
        """Return the number of the sample for a lookup; after a failure of the model, the same."""
        chosen = (context.current_control() or context.NO_CONTROL).sample
        if chosen is not None or self._numbers is None:
            return chosen or 0
        present = _lookups.get({}).get((id(self), key))
        return self._numbers.take(key) if present is None else present.number

    def _note_lookup(
        self, key: str, number: int, value: Any, computation: Computation | None
    ) -> None:
        """Keep a lookup that found nothing, for the update that LangChain makes in its context."""
        if value is MISSING:
            latest = dict([*_lookups.get({}).items()][-_MAX_LOOKUPS:])
            _lookups.set(latest | {(id(self), key): _Lookup(number, computation)})

    def _find(self, prompt: str, llm_string: str) -> tuple[Any, tuple[str, int] | None]:
        """Return the value that needs no waiting or `MISSING`, and the key and number to read."""
        base = self._make_base(prompt, llm_string)
        is_read, value = self._find_recorded(prompt, llm_string, base)
        if not is_read:
            return (MISSING if value is None else value), None
        number = self._choose_number(base)
        value = self._peek(make_sample_key(base, number))
        is_found = value is not MISSING and value is not PENDING
        return (value, None) if is_found else (MISSING, (base, number))

    def _find_lookup(self, key: str) -> _Lookup:
        """Return the lookup that precedes an update."""
        found = _lookups.get({}).get((id(self), key))
        number = (context.current_control() or context.NO_CONTROL).sample or 0
        return _Lookup(number, None) if found is None else found

    def _forget_lookup(self, key: str) -> None:
        """Let the next lookup in this context have a number of its own."""
        if self._numbers is not None:
            lookups = _lookups.get({})
            _lookups.set({each: lookups[each] for each in lookups if each != (id(self), key)})

    def _find_recorded(self, prompt: str, llm_string: str, base: str) -> tuple[bool, Any]:
        """Return whether the cache is read, and otherwise the recorded value or ``None``."""
        cassette, namespace = context.current_cassette(), self._cache.loader.namespace
        with _watch() as watch:
            if cassette is None and watch.control.mode is Mode.BYPASS:
                watch.note_bypass("bypass()")
                return False, None
            if cassette is None and not self._has_identity(llm_string):
                watch.note_bypass("the settings of the model have no stable identity")
                return False, None
            if cassette is None and watch.control.mode is not Mode.REFRESH:
                return True, None
            number = self._choose_number(base)
            call = _make_call(prompt, llm_string, number)
            value = MISSING if cassette is None else cassette.find(call)
            self._note_lookup(base, number, value, None)
            watch.note(namespace, namespace.prefix + call.key, make_recorded(value))
            return False, None if value is MISSING else value

    def _make_base(self, prompt: str, llm_string: str) -> str:
        """Return the key of a call, without the number of its sample."""
        return _make_key(prompt, llm_string, _identify_schemas(llm_string) or ())

    def _has_identity(self, llm_string: str) -> bool:
        """Return whether the settings of a model have a stable identity; log if they have none."""
        if _identify_schemas(llm_string) is not None:
            return True
        logger.debug(
            "namespace %r: the answer of a model is not stored: its settings have an object with "
            "an address, a class without a JSON schema, or one of several local classes of a name",
            self._cache.loader.namespace.name,
        )
        return False

    def _decode(self, value: Any) -> list[Generation] | None:
        """Return the generations of a value; count a failure if it is of another form."""
        try:
            return None if value is None else _decode_generations(value)
        except Exception as error:  # noqa: BLE001 - any other value is a miss
            self._cache.loader.namespace.count_failure("decode", error)
            return None

    def _encode(self, key: str, generations: RETURN_VAL_TYPE) -> dict[str, Any] | None:
        """Return the value to store; ``None`` if it would not decode to equal generations."""
        error: Exception
        try:
            encoded = [_encode_generation(generation) for generation in generations]
            value = {"generations": encoded, **_get_usage(generations)}
            if _decode_generations(value) == list(generations):
                return value
            error = SerializationError("LangChain's messages do not restore these generations")
        except Exception as raised:  # noqa: BLE001 - classes of users may raise anything
            error = raised
        self._cache.loader.namespace.count_failure("encode", error)
        calls = (context.current_control() or context.NO_CONTROL).calls
        if calls is not None:
            for call in [call for call in calls if call.function == _NAME and call.key == key][-1:]:
                call.outcome, call.reason = "unstorable", str(error)
        return None


def _watch() -> Watch:
    return Watch(context.current_control() or context.NO_CONTROL, _NAME)


def _split_control(llm_string: str) -> tuple[RequestControl, str]:
    """Return the control in the extra headers of a call, and the settings without it."""
    if HEADER not in llm_string.lower():
        return NO_CONTROL, llm_string
    match = _CONTROL.search(llm_string)
    if match is None:
        return NO_CONTROL, llm_string
    rest = _NO_HEADERS.sub("", llm_string[: match.start()] + llm_string[match.end() :])
    return parse_control(match["first"] or match["later"]), rest


def _make_key(prompt: str, llm_string: str, schemas: Sequence[str] = ()) -> str:
    label = make_label(_get_last_text(_parse_messages(prompt)) or prompt)
    return f"{label}:{make_short_key(canonicalize((prompt, llm_string, *schemas)))}"


def _identify_schemas(llm_string: str) -> list[str] | None:
    """Return the JSON schemas of the pydantic models in a model's settings, and register them.

    LangChain writes the settings by their ``repr``, a class by its name. Two classes may have the
    same name, and two objects in turn the same address: then the result is ``None``. So it is for
    a model without a JSON schema.
    """
    schemas: list[str] = []
    for name in _CLASS.findall(llm_string):
        models = list(dict.fromkeys(_iter_models(name)))
        if len(models) > 1:
            return None
        try:
            schemas += map(_register_schema, models)
        except Exception:  # noqa: BLE001 - a user's class may raise anything
            return None
    return None if _ADDRESS.search(llm_string) else schemas


def _register_schema(model: type[BaseModel]) -> str:
    """Let entries hold instances of a model, and return its JSON schema."""
    if registry.find_shape(model) is None:
        registry.register_annotation(model)
    schema = _schemas.get(model)
    if schema is None:
        schema = _schemas[model] = canonicalize(model.model_json_schema())
    return schema


def _iter_models(name: str) -> Iterator[type[BaseModel]]:
    """Yield the one model that can be imported by a qualified name, or all others of that name."""
    path = name.split(".")
    modules = ((sys.modules.get(".".join(path[:end])), path[end:]) for end in range(1, len(path)))
    for module, names in modules:
        found: Any = module
        for each in names:
            found = getattr(found, "__dict__", {}).get(each)
        if isinstance(found, type) and issubclass(found, BaseModel):
            yield found
            return
    yield from _iter_submodels(BaseModel, name)


def _iter_submodels(base: type[BaseModel], name: str) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        if f"{model.__module__}.{model.__qualname__}" == name:
            yield model
        yield from _iter_submodels(model, name)


def _make_call(prompt: str, llm_string: str, number: int) -> Call:
    """Return the call to record."""
    _identify_schemas(llm_string)
    messages = _parse_messages(prompt)
    arguments: dict[str, Any] = {"prompt": messages or prompt, "llm": llm_string}
    if number:
        arguments["sample"] = number
    text = _get_last_text(messages) or prompt
    key = make_sample_key(_make_key(prompt, llm_string), number)
    return Call(key, _NAME, _NAME, arguments, text)


def _parse_messages(prompt: str) -> list[dict[str, Any]]:
    """Return the messages that LangChain wrote as JSON; none if the prompt is plain text."""
    try:
        messages = msgspec.json.decode(prompt)
        return [message["kwargs"] for message in messages]
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError, KeyError):
        return []


def _get_last_text(messages: Sequence[Any]) -> str | None:
    """Return the content of the last message; ``None`` if it is not text."""
    content = messages[-1].get("content") if messages and isinstance(messages[-1], dict) else None
    return content if isinstance(content, str) else None


def _encode_generation(generation: Generation) -> dict[str, Any]:
    name = type(generation).__name__
    if isinstance(generation, ChatGeneration):
        _MESSAGE_CLASSES[name]  # raises KeyError for a class of another name
        content: dict[str, Any] = {"message": _encode_message(generation.message)}
    else:
        _TEXT_CLASSES[name]
        content = {"text": generation.text}
    return {"type": name, **content, "generation_info": generation.generation_info}


def _encode_message(message: BaseMessage) -> dict[str, Any]:
    """Return a message as a dict; objects within it, such as a parsed answer, stay objects."""
    return {"type": message.type, "data": dict(message)}


def _decode_generations(value: Any) -> list[Generation]:
    """Return the generations of a value; raise any exception for a value of another form."""
    generations: list[Generation] = []
    for encoded in value["generations"]:
        name, info = encoded["type"], encoded["generation_info"]
        if name in _MESSAGE_CLASSES:
            [message] = messages_from_dict([encoded["message"]])
            chat_class: Any = _MESSAGE_CLASSES[name]
            generations.append(chat_class(message=message, generation_info=info))
        else:
            generations.append(_TEXT_CLASSES[name](text=encoded["text"], generation_info=info))
    return generations


def _get_usage(generations: Sequence[Generation]) -> dict[str, Any]:
    """Return the model and the token counts of the first message that has counts."""
    for generation in generations:
        message = getattr(generation, "message", None)
        usage = getattr(message, "usage_metadata", None)
        if usage:
            metadata = getattr(message, "response_metadata", {})
            names = (metadata[field] for field in _MODEL_FIELDS if metadata.get(field))
            return {"model": next(names, None), "usage": dict(usage)}
    return {}
