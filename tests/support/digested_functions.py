"""Functions of all kinds, the digests of which are the same on every version of Python."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests.support import digested_constants as constants

TEMPLATE = "Answer in one sentence: {question}"
MODELS = ("small", "large")
MESSAGES = [{"role": "system", "content": "You are brief."}]
LIMITS = {"small": 4_096, "large": 128_000}
TEMPERATURE = 0.7
PATTERN = re.compile(r"\d+\s*", re.IGNORECASE)
FLAG = frozenset({"a", "b"})
client = object()
count = 0


class Level(Enum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Settings:
    model: str = "small"
    retries: int = 3


SETTINGS = Settings()
LEVEL = Level.HIGH
FUNCTIONS: dict[str, Callable[..., Any]] = {}


def keep(function: Any) -> Any:
    """Keep a function for the test, under a name of its own."""
    FUNCTIONS[f"{function.__name__} {len(FUNCTIONS)}"] = function
    return function


def wrap(function: Any) -> Any:
    """Wrap a function without a constant."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def wrap_with(model: str) -> Callable[[Any], Any]:
    """Wrap a function with a constant."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, model=model, **kwargs)

        return wrapper

    return decorate


@keep
def simple(a: int, b: int = 2) -> int:
    return a + b


@keep
def commented(a: int) -> int:
    """Return twice the number."""
    # A comment.
    return 2 * a  # another one


@keep
def formatted(
    a : int,
        b : int =   2 ,
) -> int :

    return ( a
             + b )


@keep
async def asynchronous(question: str) -> str:
    return TEMPLATE.format(question=question)


@keep
async def stream(question: str) -> AsyncIterator[str]:
    for model in MODELS:
        yield f"{model}: {question}"


@keep
def generator(limit: int) -> Iterator[int]:
    received = yield from range(limit)
    return received


@keep
def reads_constants(question: str) -> Any:
    return TEMPLATE, MODELS, MESSAGES, LIMITS, TEMPERATURE, PATTERN, FLAG, SETTINGS, LEVEL, question


@keep
def reads_a_client(question: str) -> Any:
    return client, math.pi, question


@keep
def reads_another_module(question: str) -> str:
    return constants.PROMPT + constants.nested.SUFFIX + question


@keep
def counts(question: str) -> str:
    global count
    count += 1
    return question


@keep
def f_strings(a: Any, width: int, precision: int) -> str:
    return f"{a}{{}}{a!r:>{width}.{precision}} {a:%H:%M}" f"{a:}" "plain" f"{a = } {a=!s}" f""


@keep
def nested_f_strings(a: dict[str, Any]) -> str:
    return f"{a['b']} {f'{a} {len(a)}'} \N{BULLET} {(lambda: 1)()} {a:{{}!s}}"


@keep
def raw_texts(text: str) -> Any:
    return re.sub(r"\d\.", "\x1b[0m\t\\", text), b"\xff\x00", rf"\d{text}", "\ud800", "caf\u00e9 \U0001f600"


@keep
def long_texts() -> str:
    return """
  Indented
not indented
    \ttab
"""


@keep
def numbers() -> Any:
    return 1, 1.0, 1e300, 0x_FF, 10**3, -1, 2j, True, None, ..., 123456789012345678901234567890


@keep
def comprehensions(items: list[int]) -> Any:
    return [a for a in items if a], {a: MODELS for a in items}, {a for a in items}, (a for a in items)


@keep
def nested_functions(items: list[str]) -> list[str]:
    def inner(item: str, /, *, model: str = MODELS[0]) -> str:
        """Not the docstring of the outer function."""
        return item + TEMPLATE + model

    return [inner(item) for item in items]


@keep
def nested_class() -> Any:
    class Inner:
        prompt = TEMPLATE

        def method(self) -> str:
            return self.prompt

    return Inner


@keep
def decorated_inside() -> Any:
    @functools.lru_cache(maxsize=10)
    def inner(a: int) -> int:
        return a

    return inner


@keep
@wrap
def wrapped(a: int) -> int:
    return a


@keep
@wrap_with("small")
def wrapped_with_a_constant(a: int, model: str) -> Any:
    return a, model


@keep
@wrap_with("large")
@wrap
def wrapped_with_another_constant(a: int, model: str) -> Any:
    return a, model


@keep
def control_flow(a: Any) -> Any:
    for number in range(3):
        if number:
            continue
        elif a:
            break
    else:
        pass
    while a and not a or a is None:
        a = a if a else -a
    return a


@keep
def errors(path: str) -> Any:
    try:
        with open(path) as file, open(path) as other:
            return file.read(), other.read()
    except (OSError, ValueError) as error:
        raise RuntimeError("failed") from error
    else:
        return None
    finally:
        del path


@keep
def error_groups() -> None:
    try:
        simple(1)
    except* ValueError:
        pass


@keep
async def asynchronous_flow(source: Any) -> Any:
    async with source as opened:
        async for each in opened:
            await each
    return [each async for each in source]


@keep
def matching(value: Any) -> Any:
    match value:
        case {"a": 1, **rest}:
            return rest
        case [Settings(model="small"), *others] | [others, _]:
            return others
        case str() as text if text:
            return text
        case None | -1 | "x":
            return None
        case _:
            return MODELS


@keep
def parameters(a: Any, /, b: Any = 1, *args: Any, c: Any = MODELS, **kwargs: Any) -> Any:
    return a, b, args, c, kwargs


@keep
def calls(a: Any, b: Any) -> Any:
    return print(*a, a, sep="", **b), a[1:2, ...], a[::2], {**b, "c": a}, [*a]


@keep
def assignments(a: Any) -> Any:
    b: int = 1
    c: str
    b += a
    (d, *e), f = a
    if (g := b) > 1 < g:
        a.b, a["c"] = d, e
    assert a, TEMPLATE
    return b, e, f


@keep
def operators(a: int, b: int) -> Any:
    return a @ b, a**b, a // b, a << b, ~a, a ^ b & 1, not a, a in [b], a is not b, a % b


@keep
def imports() -> Any:
    import os.path as path
    from collections import OrderedDict as Ordered, deque

    return path, Ordered, deque


@keep
def type_comments(a):  # type: (int) -> int
    b = a  # type: ignore[assignment]
    return b


@keep
def only_a_docstring() -> None:
    """Nothing else."""


@keep
def unicode_names(größe: int) -> int:
    return größe


@keep
def one_line(a: int) -> int: return a


def make_closure(model: str, limit: int) -> Callable[..., Any]:
    """Return a closure over two values."""

    def closure(question: str) -> Any:
        return model, question, [limit for _ in question]

    return closure


keep(make_closure("small", 1))
keep(make_closure("large", 1))
keep(make_closure("large", 2))


def make_deep_closure(settings: Settings) -> Callable[..., Any]:
    """Return a closure, the inner function of which reads the variable."""
    calls: list[str] = []

    def closure(question: str) -> Any:
        calls.append(question)
        return lambda: settings.model

    return closure


keep(make_deep_closure(Settings("a")))
keep(make_deep_closure(Settings("b")))
keep(lambda a: a + 1)
for one in (lambda a: a * 2, lambda a: a * 3): keep(one)
keep(
    lambda a,
    b=MODELS: (
        a,
        b,
        TEMPLATE,
    )
)
keep(wrap(lambda a: (lambda b: a + b)))
keep(functools.partial(wrap(lambda a, b: a - b), b=1).func)


class Service:
    prompt = "Be brief."

    @keep
    def method(self, question: str) -> str:
        return self.prompt + self.__private(question)

    @keep
    @classmethod
    def of_class(cls, question: str) -> str:
        return cls.prompt + question

    @keep
    @staticmethod
    def static(question: str) -> str:
        text = """
on the left edge
        """
        return question + text

    def __private(self, text: str) -> str:
        return text


class Asked:
    """Receivers of a method; the derived ones have other identities."""

    prompt = "Be brief."

    def ask(self, question: str) -> str:
        return self.prompt + question

    def __repr__(self) -> str:
        return type(self).__name__


class Politely(Asked):
    prompt = "Please be brief."


@dataclass
class Model(Asked):
    name: str

    def __repr__(self) -> str:
        return f"Model {self.name}"


class Number(Asked, int): ...


class Named(Asked):
    def __cache_key__(self) -> str:
        return "named"


class Member(Asked, Enum):
    ONE = 1
    TWO = 2

    def __repr__(self) -> str:
        return self.name


class ClassMethod:
    @classmethod
    def ask(cls, question: str) -> str:
        return cls.__name__ + question


class DerivedClassMethod(ClassMethod): ...


RECEIVERS: list[Any] = [
    *(Asked(), Politely(), Model("small"), Model("large"), Number(5), Named()),
    *(Member.ONE, Member.TWO, ClassMethod, DerivedClassMethod),
]


def make_without_source() -> Callable[..., Any]:
    """Return a function that has no source."""
    names: dict[str, Any] = {}
    exec("def without_source(a): return a + 1", names)  # noqa: S102 - there is no other way
    function: Callable[..., Any] = names["without_source"]
    return function
