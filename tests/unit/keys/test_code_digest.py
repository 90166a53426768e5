"""Digests of functions: edits and constants change them, formatting does not."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
import textwrap
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe.keys.code_digest import CodeDigest, find_version, watch_constants
from aiocache_pe.keys.constant_reads import Read
from tests.support.digested_functions import FUNCTIONS, make_without_source

MODULE_SOURCE = """
import os
import json as client
PROMPT = "Summarize."
LIMITS = {"small": 1}
calls = []
def helper(text): return text

def ask(text, limit=1):
    calls.append(text)
    return helper(PROMPT + text), LIMITS, client
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Return a function that imports a source as a new module of a package."""
    count = 0
    package = tmp_path / "package_of_test"
    package.mkdir()
    monkeypatch.syspath_prepend(tmp_path)

    def load_module(source: str) -> Any:
        nonlocal count
        count += 1
        (package / f"module_{count}.py").write_text(textwrap.dedent(source))
        importlib.invalidate_caches()
        return importlib.import_module(f"package_of_test.module_{count}")

    yield load_module
    for name in [name for name in sys.modules if name.startswith("package_of_test")]:
        del sys.modules[name]


def digest(function: Any) -> str:
    return CodeDigest(function).compute()[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("return helper", "return  helper"),
        ("calls.append(text)", "calls.append(text)  # a comment"),
        ("    calls.append", '    "A docstring."\n    calls.append'),
        ("def ask", "@(lambda function: function)\ndef ask"),
        ("PROMPT + text", "(\n        PROMPT\n        + text)"),
        ("def helper(text): return text", "def helper(text): return text.upper()"),
        ("import json as client", "import ast as client"),
        ("calls = []", 'calls = ["earlier"]'),
        ("import os", "import os\nOTHER = 1"),
    ],
)
def test_an_edit_without_effect_keeps_the_digest(
    before: str, after: str, load: Callable[[str], Any]
) -> None:
    edited = MODULE_SOURCE.replace(before, after)
    assert edited != MODULE_SOURCE
    assert digest(load(edited).ask) == digest(load(MODULE_SOURCE).ask)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("PROMPT + text", "text + PROMPT"),
        ('"Summarize."', '"Summarise."'),
        ('"small": 1', '"small": 2'),
        ("limit=1", "limit=2"),
        ("def ask", "async def ask"),
        ("import json as client", "client = 5"),
        ("helper(PROMPT + text)", 'helper(f"{PROMPT}{text}")'),
    ],
)
def test_an_edit_changes_the_digest(before: str, after: str, load: Callable[[str], Any]) -> None:
    edited = MODULE_SOURCE.replace(before, after)
    assert edited != MODULE_SOURCE
    assert digest(load(edited).ask) != digest(load(MODULE_SOURCE).ask)


def test_attributes_of_other_modules_are_constants(load: Callable[[str], Any]) -> None:
    prompts = [load(f'PROMPT = "{text}"') for text in ("a", "b")]

    def make(prompts: Any) -> Any:
        return lambda text: prompts.PROMPT.format(text=text)

    assert digest(make(prompts[0])) != digest(make(prompts[1]))
    assert digest(make(prompts[0])) == digest(make(prompts[0]))


CLASSES = """
import enum
class Settings:
    MODEL = "small"
    calls = 0
class Derived(Settings):
    class Inner:
        LIMIT = 1
class Mode(enum.Enum):
    __module__ = "package_of_test"
    FAST = "fast"
class Number(enum.IntEnum):
    __module__ = "package_of_test"
    ONE = enum.auto()
MODES = [Mode.FAST]

def ask(text):
    Settings.calls += 1
    return Derived.MODEL, Derived.Inner.LIMIT, Mode.FAST.value, MODES, Number.ONE, Settings.calls
"""


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ('MODEL = "small"', 'MODEL = "large"', False),
        ("LIMIT = 1", "LIMIT = 2", False),
        ('FAST = "fast"', 'FAST = "turbo"', False),
        ('FAST = "fast"', 'FAST = "fast"\n    SLOW = "slow"', True),
        ("ONE =", "ZERO = enum.auto()\n    ONE =", False),
        ("calls = 0", "calls = 7", True),
        ("calls = 0", "calls = 0\n    OTHER = 1", True),
        ("[Mode.FAST]", "[Mode.FAST, Mode.FAST]", False),
    ],
)
def test_attributes_of_classes_and_values_of_enums_are_constants(
    before: str, after: str, is_same: bool, load: Callable[[str], Any]
) -> None:
    edited = CLASSES.replace(before, after)
    assert edited != CLASSES
    assert (digest(load(edited).ask) == digest(load(CLASSES).ask)) is is_same


WRAPPED = """
import functools
def prompt(function):
    return functools.wraps(function)(lambda: function.text)

@prompt
def ask():
    "DOC"
"""


@pytest.mark.parametrize(
    ("source", "is_same"),
    [
        ("def ask():\n    'DOC'", True),
        ("def ask():\n    'DOC'\n    return ask.__doc__", False),
        ("import inspect\ndef ask():\n    'DOC'\n    return inspect.getdoc(ask)", False),
        (WRAPPED, False),
    ],
)
def test_a_docstring_that_may_be_a_prompt_counts(
    source: str, is_same: bool, load: Callable[[str], Any]
) -> None:
    digests = {digest(load(source.replace("DOC", text)).ask) for text in ("Ask.", "Tell.")}
    assert (len(digests) == 1) is is_same


def test_closures_of_one_function_have_different_digests() -> None:
    def make(model: Any) -> Any:
        def ask() -> Any:
            return [lambda: model]

        return ask

    values = ["gpt", "claude", 1, 1.0, True, ("a",), ["a"], {"a": 1}, None]
    assert len({digest(make(value)) for value in values}) == len(values)
    assert digest(make("gpt")) == digest(make("gpt"))


def test_variables_that_are_no_values_count_by_their_names_or_classes() -> None:
    def make(client: Any) -> Any:
        return lambda: client

    class Local:
        limit = 1

    others = [
        *(object(), threading.Lock(), make, test_closures_of_one_function_have_different_digests),
        *(Path, dict, sys, os, print, len, str.upper, str.lower, object().__repr__, [].append),
        *([object()], [Path], (len, [str.upper]), {"a": len}, {"a": print}, {"b": print}, Local),
        *(functools.partial(len), functools.partial(print), functools.cache(digest), Path().exists),
        *(Path("a").exists, Path.exists, threading.Event(), threading.Event().wait),
    ]
    assert len({digest(make(value)) for value in others}) == len(others)
    pairs: list[Any] = [object, threading.Event, lambda: [object()], lambda: threading.Event().wait]
    for create in pairs:  # two clients cannot be told apart
        assert digest(make(create())) == digest(make(create()))


def test_local_functions_and_classes_count_by_their_code() -> None:
    def make(helper: Any) -> Any:
        return lambda: helper

    def choose(model: Any) -> Any:
        def ask() -> Any:
            return ask, model

        return ask

    def define(limit: Any) -> Any:
        class Client:
            bound = limit

            def ask(self) -> Any:
                return Client, self, limit

        return Client

    # fmt: off
    helpers = [
        *(lambda text: text, lambda text: -text, choose("gpt"), choose("claude"), choose(len)),
        *(choose(choose(1)), choose(choose(2)), define(1), define(2), define(len), define(print)),
        *(functools.partial(choose("a"), 1), functools.partial(choose("a"), 2)),
        *([choose("gpt")], [choose("claude")], {"a": choose("gpt")}, define(1).ask, define(2).ask),
        *(functools.cache(choose("gpt")), functools.cache(choose("claude"))),
    ]
    # fmt: on
    assert len({digest(make(helper)) for helper in helpers}) == len(helpers)
    assert digest(make(choose("gpt"))) == digest(make(choose("gpt")))
    assert digest(make(define(1))) == digest(make(define(1)))


def test_functions_that_refer_to_each_other_have_a_digest() -> None:
    def make(number: int) -> Any:
        functions: list[Any] = []
        for each in range(number):

            def ask(at: int = each) -> Any:
                return functions[at - 1]() + first()

            functions.append(ask)
        functions.append(functions)

        def first() -> Any:
            return functions[0]

        return functions[0]

    assert digest(make(20)) == digest(make(20)) != digest(make(19))


def test_variables_that_the_function_assigns_or_changes_do_not_count() -> None:
    def make(number: int) -> Any:
        count = number
        calls = [number]
        seen = {number}

        def ask() -> None:
            nonlocal count
            count += 1
            calls.append(count)
            seen.add(count)

        return ask

    ask = make(1)
    before = digest(ask)
    ask()
    assert digest(ask) == digest(make(2)) == before


def test_constants_of_wrappers_count() -> None:
    def wrap(function: Any, model: Any) -> Any:
        @functools.wraps(function)
        def wrapper() -> Any:
            return function(model)

        return wrapper

    def shout(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper() -> Any:
            return function().upper()

        return wrapper

    class Wrapper:
        def __init__(self, function: Any, model: Any) -> None:
            functools.update_wrapper(self, function)
            self.model = model

        def __call__(self) -> Any: ...

    class Shouter(Wrapper):
        def __call__(self) -> Any:
            return "!"

    def ask(model: str) -> str:
        return model

    wrapped: list[Any] = [
        *(ask, wrap(ask, "a"), wrap(ask, "b"), wrap(ask, len), wrap(ask, print), shout(ask)),
        *(wrap(wrap(ask, a), b) for a in "ab" for b in "ab"),
        *(shout(wrap(ask, "a")), wrap(shout(ask), "a")),
        *(Wrapper(ask, "a"), Wrapper(ask, "b"), Wrapper(ask, len), Wrapper(ask, print)),
        *(Shouter(ask, "a"), Shouter(wrap(ask, "a"), "a")),
        *(wrap(functools.partial(ask, "a"), 1), wrap(functools.partial(ask, "b"), 1)),
    ]
    assert len(set(map(digest, wrapped))) == len(wrapped)


def test_a_wrapper_of_another_package_counts_by_its_name() -> None:
    def ask() -> None: ...

    def wrap(source: str, name: str = "retry") -> Any:
        names: dict[str, Any] = {"__name__": "package_of_others.tools", "wraps": functools.wraps}
        exec(f"def {name}(f):\n @wraps(f)\n def call(): {source}\n return call", names)
        return names[name](ask)

    assert digest(wrap("return f()")) == digest(wrap("return [f()]"))
    assert digest(wrap("return f()")) not in (digest(ask), digest(wrap("return f()", "log")))


def test_a_callable_object_counts_by_its_method() -> None:
    class Ask:
        def __call__(self) -> int:
            return 1

    assert digest(Ask()) == digest(Ask.__call__)


def test_functions_of_all_kinds_have_different_digests() -> None:
    digests = {name: digest(function) for name, function in FUNCTIONS.items()}
    assert len(digests) == len(set(digests.values())) == 50
    assert not [name for name, text in digests.items() if "." in text]  # all have a source


def test_a_function_without_source_counts_by_its_bytecode() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert digest(make_without_source()).startswith(f"{version}-")
    assert digest(make_without_source()) == digest(make_without_source())
    names: dict[str, Any] = {}
    exec("def without_source(a): return a + 2", names)
    assert digest(names["without_source"]) != digest(make_without_source())


def test_a_function_written_in_c_has_no_digest() -> None:
    assert CodeDigest(len).compute() == ("", [])


def test_a_source_that_was_edited_after_its_import_is_not_used(load: Callable[[str], Any]) -> None:
    module = load(MODULE_SOURCE)
    code_digest = CodeDigest(module.ask)
    Path(module.__file__).write_text(MODULE_SOURCE.replace("Summarize", "Translate") + "\n")
    os.utime(module.__file__, (1, 1))
    assert "-" in code_digest.compute()[0]


def test_a_source_of_another_function_is_not_used(load: Callable[[str], Any]) -> None:
    module = load("def other():\n    return 1\n")
    names: dict[str, Any] = {}
    exec(compile("def ask(): return 2", module.__file__, "exec"), names)
    assert "-" in digest(names["ask"])


def test_a_source_with_an_invalid_escape_shows_no_warning(load: Callable[[str], Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = load("def ask(): return '\\d'\n")
    assert "-" not in digest(module.ask)


def test_a_text_in_a_function_counts_with_its_indentation(load: Callable[[str], Any]) -> None:
    sources = [f'def ask():\n    return """\n{" " * indent}a"""\n' for indent in (0, 4, 8)]
    assert len({digest(load(source).ask) for source in sources}) == 3


def test_lambdas_in_one_line_have_different_digests() -> None:
    # fmt: off
    lambdas: list[Any] = [lambda a: a, lambda a: -a, lambda a: (lambda b: b)]
    # fmt: on
    lambdas.append(lambdas[-1](1))
    assert len(set(map(digest, lambdas))) == 4
    assert all("-" not in digest(each) for each in lambdas)


def test_scripts_with_one_name_have_different_digests(tmp_path: Path) -> None:
    found: list[str] = []
    for folder in ("one", "two"):
        path = tmp_path / folder / "main_of_test.py"
        path.parent.mkdir()
        path.write_text("def ask(): return 1\n")
        module = types.ModuleType("main_of_test")
        module.__file__ = str(path)
        sys.modules["main_of_test"] = module
        exec(compile(path.read_text(), str(path), "exec"), vars(module))
        found.append(digest(module.ask))
        del sys.modules["main_of_test"]
    assert found[0] != found[1]


def test_a_wrapper_of_itself_ends() -> None:
    def ask() -> None: ...

    ask.__wrapped__ = ask  # type: ignore[attr-defined]
    assert digest(ask)
    assert inspect.isfunction(ask)


@pytest.mark.parametrize(
    ("key", "version"),
    [
        (
            "app.ask@0123456789abcdef0123:Why?:58688d6826a74926488ad309d184a855",
            "0123456789abcdef0123",
        ),
        ("app.ask@0123456789abcdef0123:58688d6826a74926488ad309d184a855", "0123456789abcdef0123"),
        ("app.ask@0123456789abcdef0123:user 7", "0123456789abcdef0123"),
        ("app.ask@2:a@b:58688d6826a74926488ad309d184a855", "2"),
        ("app.ask:58688d6826a74926488ad309d184a855", None),
        ("mail:ada@example.org:inbox", None),
        ("user:7", None),
    ],
)
def test_the_version_of_a_key_is_found(key: str, version: str | None) -> None:
    assert find_version(key) == version


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_a_key_maker_watches_each_constant(count: int) -> None:
    names = {str(at): object() for at in range(count)}
    reads = [Read(names, name, value, "") for name, value in names.items()]
    closure = Read(None, "a variable of an enclosing function", object(), "")
    make_key = watch_constants(
        [closure, *reads], lambda args, kwargs: "held", lambda args, kwargs: "changed"
    )
    assert make_key((), {}) == "held"
    for name, value in list(names.items()):
        names[name] = object()
        assert make_key((), {}) == "changed"
        del names[name]
        assert make_key((), {}) == "changed"
        names[name] = value
        assert make_key((), {}) == "held"
