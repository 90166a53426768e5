"""Digests of functions: their source, and the constants that it reads.

The digest is part of the keys of a decorated function, so an edited function or an edited prompt
template computes its results again, and two closures of one function have different keys.

The source counts as a syntax tree: comments, formatting, decorators and the docstring have no
effect, and neither has the version of Python. The docstring counts if the function or a wrapper may
read it, because it may be a prompt. A function without source counts by its bytecode, which differs
between versions of Python.

The constants are the variables of enclosing functions and of the module, and attributes of other
modules and of classes such as ``prompts.ASK``, as far as they are values with an identity. A list,
dict or set counts with its content when the digest is computed, unless the function changes it
(``calls.append(...)``). Of the module, clients, other modules, functions and classes do not count,
except for the fields of the classes that are annotated as the result and belong to the package of
the function.

Closures of one function differ in their variables only, so all of these count: functions, classes
and modules by their names, local functions by their code, and other objects by their classes
(`aiocache_pe.keys.constant_reads`). Wrappers count by their names, and those of the function's own
package by their code.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from aiocache_pe.keys.constant_reads import Read, Reader, list_names
from aiocache_pe.keys.function_layers import list_layers
from aiocache_pe.keys.qualified_names import find_script, get_module
from aiocache_pe.keys.source_trees import Sources

_VERSION = re.compile(
    r"[^@]*@(?:(3\.\d+-)?([0-9a-f]{20}):|([^@:]+):(?:.*:)?[0-9a-f]{32}$)", re.DOTALL
)
_WATCHED_TOGETHER = 3  # constants
_DOCSTRING_NAMES = {"__doc__", "getdoc"}
_DIGEST_SIZE = 10  # bytes; two closures among a billion collide with a probability of 4e-7
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def find_version(key: str) -> str | None:
    """Return the version in a key that the library made: a digest, or the setting ``version``.

    Example:
        >>> find_version("app.ask@3.11-0123456789abcdef0123:Why?:58688d6826a74926488ad309d184a855")
        '3.11-0123456789abcdef0123 (bytecode of Python 3.11, without source)'
    """
    found = _VERSION.match(key)
    if found is None:
        return None
    python, digest, own = found.groups()
    return (
        f"{python}{digest} (bytecode of Python {python[:-1]}, without source)"
        if python
        else digest or own
    )


_KeyMaker = Callable[[Any, Any], str]
_Constant = tuple[Mapping[str, Any], str, Any]


def watch_constants(reads: list[Read], make_key: _KeyMaker, bind_again: _KeyMaker) -> _KeyMaker:
    """Return a key maker for a digest that holds as long as the constants of modules do.

    Args:
        reads: the constants in the digest.
        make_key: the maker of keys with this digest.
        bind_again: the maker of a key after a constant was replaced or deleted.
    """
    constants = [(read.names, read.name, read.value) for read in reads if read.names is not None]
    for at in range(0, len(constants), _WATCHED_TOGETHER):
        make_key = _watch(constants[at : at + _WATCHED_TOGETHER], make_key, bind_again)
    return make_key


def _watch(constants: list[_Constant], make_key: _KeyMaker, bind_again: _KeyMaker) -> _KeyMaker:
    """Watch up to three constants, without a loop, which takes longer than the comparisons."""
    names, name, value = constants[0]
    names_2, name_2, value_2 = constants[len(constants) // 2]
    names_3, name_3, value_3 = constants[-1]

    # A key function of the user may raise KeyError, too; then it is called once more.
    def make_key_of_one(args: Any, kwargs: Any) -> str:
        try:
            if names[name] is value:
                return make_key(args, kwargs)
        except KeyError:
            pass
        return bind_again(args, kwargs)

    def make_key_of_three(args: Any, kwargs: Any) -> str:
        try:
            if names[name] is value and names_2[name_2] is value_2 and names_3[name_3] is value_3:
                return make_key(args, kwargs)
        except KeyError:
            pass
        return bind_again(args, kwargs)

    return make_key_of_one if len(constants) == 1 else make_key_of_three


class CodeDigest:
    """The digest of one function; it is computed on demand, because reading a source takes time.

    Args:
        function: the function. Its wrappers (``__wrapped__``), a bound method and
            `functools.partial` are followed to the innermost function, which has the source.
            The constants of the wrappers count, too.
    """

    __slots__ = ("_function", "_layers", "_sources")

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._layers = list_layers(function)
        # A file that is edited after its import is not the source of the running function.
        self._sources = Sources(layer.__code__ for layer in self._layers)

    def compute(
        self, render_result: Callable[[str], str] = lambda package: ""
    ) -> tuple[str, list[Read]]:
        """Return the digest and the constants in it.

        Args:
            render_result: returns the schemas of the classes of the results, for the package of
                the function.

        Returns:
            Hex digits; with ``3.11-`` in front for the bytecode of that version of Python. Empty
            for a callable without code, such as a function written in C.
        """
        if not self._layers:
            return "", []
        innermost = self._layers[-1]
        source = self._sources.read(innermost.__code__)
        reads = list(Reader(self._sources, self._layers).iter_all(self._function))
        texts = [read.text for read in reads]
        schemas = render_result(get_module(innermost).partition(".")[0])
        if schemas:
            texts.append(f"result={schemas}")
        names = set().union(*(list_names(layer.__code__) for layer in self._layers))
        if len(self._layers) > 1 or not _DOCSTRING_NAMES.isdisjoint(names):
            texts.append(f"docstring={inspect.cleandoc(innermost.__doc__ or '')}")
        parts = [source, *sorted(texts), find_script(innermost)]
        text = "\n".join(parts).encode("utf-8", "surrogatepass")
        digest = blake2b(text, digest_size=_DIGEST_SIZE).hexdigest()
        has_bytecode = self._sources.has_bytecode
        return f"{_PYTHON}-{digest}" if has_bytecode else digest, reads
