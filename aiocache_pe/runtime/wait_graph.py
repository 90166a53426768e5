"""Graph of the computations that wait for each other, in all threads and loops of the process.

Two computations that wait for each other would never end. A caller therefore asks
`depends_on_caller` before it waits. The caller is known by the computations that called it,
directly or not, and an edge leads from each of them to the computation that it waits for.

An event loop that makes a blocking call runs nothing else meanwhile. Neither does a thread that
makes a call while it serves another one, as in a signal handler. All computations that need this
loop or this thread wait for the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextvars import Context, ContextVar


class WaitNode:
    """A computation, or another node of the graph.

    Attributes:
        needs: the event loop or the call that runs its code.
        waits_for: the nodes that it waits for.
    """

    __slots__ = ("needs", "waits_for")

    def __init__(self, needs: object) -> None:
        self.needs = needs
        self.waits_for = list(_needed.get(()))


_EMPTY = frozenset[WaitNode]()
_current: ContextVar[frozenset[WaitNode]] = ContextVar("aiocache_pe_computations")
_needed: ContextVar[tuple[WaitNode, ...]] = ContextVar("aiocache_pe_needed")
_blocked: dict[object, list[WaitNode]] = {}


def get_callers() -> frozenset[WaitNode]:
    """Return the computations that called the running code, directly or not."""
    return _current.get(_EMPTY)


def enter(computation: WaitNode) -> None:
    """Make the running context a part of a computation."""
    _current.set(_current.get(_EMPTY) | {computation})


def make_context(context: Context, computation: WaitNode) -> Context:
    """Return a context after it became a part of a computation."""
    context.run(enter, computation)
    return context


def need(node: WaitNode) -> None:
    """Let all computations that begin in the running context wait for a node."""
    _needed.set((node,))


def depends_on_caller(computation: WaitNode) -> bool:
    """Return whether a computation cannot end before the running code has ended."""
    own = _current.get(_EMPTY)
    if not own:
        return False
    found, left = set[WaitNode](), [computation]
    while left:
        each = left.pop()
        if each in own:
            return True
        if each not in found:
            found.add(each)
            left += each.waits_for
            left += _blocked.get(each.needs, ())
    return False


class wait_for:  # noqa: N801 - used as a statement
    """Context manager: the computations of the running code wait for others."""

    __slots__ = ("_edges",)

    def __init__(self, computations: Iterable[WaitNode]) -> None:
        callers = _current.get(_EMPTY)
        self._edges = [(each, caller) for each in computations for caller in callers]

    def __enter__(self) -> None:
        for computation, caller in self._edges:
            caller.waits_for.append(computation)

    def __exit__(self, *error: object) -> None:
        for computation, caller in self._edges:
            caller.waits_for.remove(computation)


class block:  # noqa: N801 - used as a statement
    """Context manager: a blocking call keeps event loops and other calls waiting.

    Args:
        call: the call.
        blocked: the loops and calls.
    """

    __slots__ = ("_blocked", "_call")

    def __init__(self, call: WaitNode, blocked: Sequence[object]) -> None:
        self._call = call
        self._blocked = blocked

    def __enter__(self) -> None:
        for each in self._blocked:
            _blocked.setdefault(each, []).append(self._call)

    def __exit__(self, *error: object) -> None:
        for each in self._blocked:
            calls = _blocked[each]
            del calls[calls.index(self._call) :]  # with interrupted calls inside this one
            if not calls:
                del _blocked[each]
