"""Keys of decorated functions: no object, closure or edited function gets another one's answer."""

from __future__ import annotations

import functools
import gc
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, UnstableIdentityError, cached, cached_batch, recording
from aiocache_pe.exceptions import ConfigurationError
from tests.support.function_kinds import CallCounter, Kind, each_kind

TEMPLATE = "Answer: {}"

SCRIPT = """
import sys
from aiocache_pe.sync import CacheManager, cached
cache = CacheManager(directory=sys.argv[1])
PROMPT = "one"

@cached(cache=cache)
def ask(text):
    return PROMPT + text

class Client:
    @cached(cache=cache)
    def ask(self, text):
        return PROMPT + text

print(ask("?"), Client().ask("?"), ask.cache_info().hits, Client.ask.cache_info().hits)
"""


def run_script(path: Path, source: str, cache_dir: Path) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    done = subprocess.run(
        [sys.executable, "-B", str(path), str(cache_dir)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.strip()


async def test_two_objects_have_separate_answers(cache: CacheManager) -> None:
    @dataclass
    class LLM:
        model: str

        @cached(cache=cache)
        async def ask(self, prompt: str) -> str:
            return f"{self.model}: {prompt}"

        @cached(cache=cache)
        async def stream(self, prompt: str) -> AsyncIterator[str]:
            yield f"{self.model}: {prompt}"

        @cached_batch(cache=cache)
        async def embed(self, texts: list[str]) -> list[str]:
            return [f"{self.model}: {text}" for text in texts]

        @property
        @cached(cache=cache)
        def name(self) -> str:
            return self.model.upper()

    for _ in range(2):
        for model in ("gpt", "claude"):
            llm = LLM(model)
            assert await llm.ask("hi") == f"{model}: hi"
            assert [each async for each in llm.stream("hi")] == [f"{model}: hi"]
            assert await llm.embed(["a", "b"]) == [f"{model}: a", f"{model}: b"]
            assert cached(cache=cache)(llm.ask.__wrapped__).cache_key("hi") == llm.ask.cache_key(
                "hi"
            )
    assert LLM.ask.cache_info()[:2] == (2, 2)
    assert LLM.embed.cache_info()[:2] == (4, 4)


def test_a_property_of_two_objects_has_two_answers() -> None:
    cache = CacheManager("memory")

    @dataclass
    class LLM:
        model: str

        @property
        @cached(cache=cache)
        def name(self) -> str:
            return self.model.upper()

    for _ in range(2):
        assert [LLM("a").name, LLM("b").name] == ["A", "B"]


@each_kind
async def test_an_object_without_identity_is_refused(kind: Kind, memory: CacheManager) -> None:
    class Client:
        def __init__(self, tenant: str) -> None:
            self.tenant = tenant

        def ask(self, prompt: str) -> str:
            return f"{self.tenant}: {prompt}"

    function = kind.decorate(Client.ask, cache=memory)
    Client.ask = function  # type: ignore[method-assign]
    bound = cached(cache=memory)(function.__wrapped__.__get__(Client("a")))
    for call in (Client("a").ask, bound):
        with pytest.raises(UnstableIdentityError, match=r"self is a .*Client.*register_identity"):
            await kind.get_result(call("hi"))

    shared = cached(cache=memory, ignore=["self"])(function.__wrapped__)
    assert await kind.get_result(shared(Client("a"), "hi")) == "a: hi"
    assert await kind.get_result(shared(Client("b"), "hi")) == "a: hi"


@each_kind
async def test_closures_of_one_function_have_separate_answers(
    kind: Kind, memory: CacheManager
) -> None:
    def make(model: str) -> Any:
        def ask(prompt: str) -> str:
            return f"{model}: {prompt}"

        return kind.decorate(ask, cache=memory)

    for _ in range(2):
        for model in ("gpt", "claude"):
            assert await kind.get_result(make(model)("hi")) == f"{model}: hi"
    gpt, claude = make("gpt"), make("claude")
    assert await kind.get_result(gpt.cache_clear()) == 1
    assert await kind.get_result(claude.invalidate("hi")) is True


def shout(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(text: str) -> str:
        return str(function(text)).upper() + "!"

    return wrapper


def lower(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(text: str) -> str:
        return str(function(text)).lower()

    return wrapper


def echo(text: str) -> str:
    return text


@each_kind
async def test_functions_that_one_factory_makes_have_separate_answers(
    kind: Kind, memory: CacheManager
) -> None:
    def make(function: Any) -> Any:
        def call(text: str) -> str:
            return str(function(text))

        return kind.decorate(call, cache=memory)

    def begin_with(prompt: str) -> Any:
        return lambda text: prompt + text

    functions = [str.upper, str.title, echo, begin_with("a"), begin_with("b"), begin_with, len]
    functions += [functools.partial(begin_with("c")), " {}".format, shout(echo), lower(echo)]
    for function in functions:
        await kind.get_result(make(function)("Hi you"))
    assert (await memory.get_stats()).misses == len(functions)
    for wrap, result in ((shout, "HI!"), (lower, "hi"), (lambda each: each, "Hi")):
        assert await kind.get_result(kind.decorate(wrap(echo), cache=memory)("Hi")) == result


async def test_closures_that_share_results_of_two_clients_are_logged_once(
    memory: CacheManager, caplog: pytest.LogCaptureFixture
) -> None:
    class Client:
        pass

    def make(client: Client) -> Any:
        @cached(cache=memory)
        def ask(prompt: str) -> str:
            return f"{prompt} {type(client)}"

        return ask

    for _ in range(2):  # a client that replaces another one
        make(Client())("hi")
        gc.collect()
    one, two = Client(), Client()
    make(one)("hi")
    make(one)("hi")
    assert not caplog.records
    for client in (two, one, two):
        make(client)("hi")
    [record] = caplog.records
    assert "closures of the function" in record.getMessage()
    assert "their variable client holds different objects of the class" in record.getMessage()


@each_kind
async def test_cache_clear_removes_the_answers_of_a_closure_whose_list_has_grown(
    kind: Kind, memory: CacheManager
) -> None:
    prompts = ["hello"]

    def ask(prompt: str) -> str:
        return f"{prompt} {len(prompts)}"

    asked = kind.decorate(ask, cache=memory)
    for prompt in ("a", "b"):
        assert await kind.get_result(asked(prompt)) == f"{prompt} 1"
        prompts.append(prompt)
        prompts.pop(0)
    prompts.append("more")
    assert await kind.get_result(asked.cache_clear()) == 2
    assert await kind.get_result(asked("a")) == "a 2"


@each_kind
async def test_a_changed_constant_is_noticed_by_the_next_call(
    kind: Kind, memory: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(prompt: str) -> str:
        return TEMPLATE.format(prompt)

    function = kind.decorate(ask, cache=memory)
    for template in ("Answer: {}", "Reply: {}", "Answer: {}"):
        monkeypatch.setattr(f"{__name__}.TEMPLATE", template)
        for _ in range(2):
            assert await kind.get_result(function("hi")) == template.format("hi")
    assert function.cache_info()[:2] == (4, 2)


@each_kind
async def test_a_version_replaces_the_digest(kind: Kind, memory: CacheManager) -> None:
    def make(model: str) -> Any:
        return kind.decorate(lambda prompt: model, cache=memory, version=2, key_prefix="ask")

    assert await kind.get_result(make("gpt")("hi")) == "gpt"
    assert await kind.get_result(make("claude")("hi")) == "gpt"
    assert "@2:" in make("gpt").cache_key("hi")


async def test_a_key_that_the_user_chose_has_no_digest(memory: CacheManager) -> None:
    @cached(cache=memory, key_prefix="user", key="{number}")
    async def load(number: int) -> int:
        return number

    assert load.cache_key(7) == "user:7"


@each_kind
async def test_a_partial_object_can_be_decorated(kind: Kind, memory: CacheManager) -> None:
    counted = CallCounter()
    body = kind.build(counted.make_body())
    decorate = cached(cache=memory)
    one = decorate(functools.partial(body, 1))
    other = decorate(functools.partial(body, 2, b=3))
    assert [await kind.get_result(each()) for each in (one, other, one, other)] == [1, 2, 1, 2]
    assert await kind.get_result(decorate(body)(1)) == 1
    assert one.__name__ == body.__name__
    assert one.cache_key() == decorate(body).cache_key(1)
    with pytest.raises(UnstableIdentityError, match=r"a is a builtins\.object"):
        await kind.get_result(decorate(functools.partial(body, object()))())


@each_kind
async def test_parameters_may_have_any_name(kind: Kind, memory: CacheManager) -> None:
    def body(self: Any, key: Any, args: Any, *, kwargs: Any, function: Any, cache: Any) -> Any:
        return self, key, args, kwargs, function, cache

    function = kind.decorate(body, cache=memory)
    call = {name: index for index, name in enumerate(body.__annotations__) if name != "return"}
    expected = tuple(call.values())
    assert tuple(await kind.get_result(function(**call))) == expected
    assert tuple(await kind.get_result(function.refresh(**call))) == expected
    assert function.cache_key(**call)
    assert await kind.get_result(function.invalidate(**call)) is True


async def test_parameters_of_a_batch_may_have_any_name(memory: CacheManager) -> None:
    @cached_batch(cache=memory)
    async def embed(self: list[str], key: int = 1) -> list[str]:
        return [f"{text} {key}" for text in self]

    assert await embed(self=["a"], key=2) == ["a 2"]
    assert await embed(["a"], 2) == ["a 2"]
    assert await embed.invalidate(self=["a"], key=2) == 1


@pytest.mark.parametrize("key", ["prompt", "llm", ""])
def test_a_key_template_without_a_parameter_is_refused_at_decoration(key: str) -> None:
    async def ask(prompt: str, model: str = "small") -> str:
        return prompt

    with pytest.raises(ConfigurationError, match=rf"got '{key}'; write key=\"{{(prompt|model)}}\""):
        cached(key=key)(ask)


def test_scripts_of_one_name_and_edited_scripts_have_separate_answers(tmp_path: Path) -> None:
    cache_dir = tmp_path / "cache"
    edited = SCRIPT.replace('PROMPT = "one"', 'PROMPT = "two"')
    rewritten = SCRIPT.replace("PROMPT + text", "PROMPT + text.upper()  # edited")
    commented = SCRIPT.replace("PROMPT + text", "(PROMPT\n        +  text)  # formatted")
    script, other = tmp_path / "a" / "main.py", tmp_path / "b" / "main.py"
    assert run_script(script, SCRIPT, cache_dir) == "one? one? 0 0"
    assert run_script(script, SCRIPT, cache_dir) == "one? one? 1 1"
    assert run_script(other, SCRIPT, cache_dir) == "one? one? 0 0"
    assert run_script(script, edited, cache_dir) == "two? two? 0 0"
    assert run_script(script, rewritten, cache_dir) == "one? one? 0 0"
    assert run_script(script, commented, cache_dir) == "one? one? 1 1"


async def test_recordings_do_not_depend_on_the_code(tmp_path: Path) -> None:
    def make(suffix: str) -> Any:
        @cached(backend="null")
        async def ask(prompt: str) -> str:
            return prompt + suffix

        return ask

    with recording(tmp_path, mode="record"):
        assert await make("!")("hi") == "hi!"
    with recording(tmp_path, mode="replay"):
        assert await make("?")("hi") == "hi!"
    [path] = tmp_path.glob("*.json")
    assert json.loads(path.read_text())["call"].endswith(".ask")
