"""Scripts in parts, each on one name, for a slot of a Cluster that is on two nodes at once.

While a slot moves, a name is on the old node or already on the new one, and a script with two names
is refused (``TRYAGAIN``). That lasts a moment, or until an operator repairs a move that has
stopped. The parts of a change are not one step. So they mark the generation of the key meanwhile:
a computation that meets the mark, or began before it, does not store its result
(docs/design/decisions/0082).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from aiocache_pe.backends.redis import scripts
from aiocache_pe.backends.redis.generations import LIFETIME
from aiocache_pe.backends.redis.scripts import Script, ScriptCall
from aiocache_pe.exceptions import BackendError

Run = Callable[[Script, ScriptCall], Awaitable[Any]]
"""Runs a script on one name and returns its answer."""

Call = Callable[..., Awaitable[Any]]
"""Sends one command and returns its answer."""


async def _write(run: Run, call: Call, names: list[bytes], args: list[bytes | str]) -> Any:
    """Run `scripts.WRITE`."""
    (entry, generation, lease), (value, life, token) = names, args
    await run(scripts.BEGIN_CHANGE, ([generation], ()))
    try:
        await call("UNLINK", lease)
        try:
            return await call("SET", entry, value, *(("PX", life) if life else ()))
        except BackendError:  # a miss is better than the replaced value
            await call("UNLINK", entry)
            raise
    finally:
        await run(scripts.END_CHANGE, ([generation], [token]))


async def _change(
    run: Run, call: Call, script: Script, names: list[bytes], args: list[bytes | str]
) -> Any:
    """Run a script of an entry, its access statistics, its generation and its lease.

    Without a token, the script itself needs the entry only. The access statistics of a removed
    entry belong to its version, and expire.
    """
    entry, _, generation, lease = names
    *rest, token = args
    part: ScriptCall = [entry] * len(names), [*rest, b""]
    if not token:
        return await run(script, part)
    await run(scripts.BEGIN_CHANGE, ([generation], ()))
    try:
        answer = await run(script, part)
        if answer != 0:
            await call("UNLINK", lease)
        return answer
    finally:
        await run(scripts.END_CHANGE, ([generation], [token]))


async def _compare_and_set(
    run: Run, call: Call, names: list[bytes], args: list[bytes | str]
) -> Any:
    return await _change(run, call, scripts.COMPARE_AND_SET, names, args)


async def _delete_and_get_head(
    run: Run, call: Call, names: list[bytes], args: list[bytes | str]
) -> Any:
    return await _change(run, call, scripts.DELETE_AND_GET_HEAD, names, args)


async def _invalidate(run: Run, call: Call, names: list[bytes], args: list[bytes | str]) -> Any:
    """Run `scripts.INVALIDATE`.

    The line comes first. A computation that stores its result between both steps is removed by the
    scan that follows.
    """
    (number_name, list_name), (number, line) = names, args
    await run(scripts.ADD_LINE, ([list_name], [line]))
    await call("SET", number_name, number, "PX", LIFETIME)
    return 1


async def _take_lease(run: Run, call: Call, names: list[bytes], args: list[bytes | str]) -> int:
    """Run `scripts.TAKE_LEASE`, but take the lease from no holder.

    The result of a holder with another version is a miss, and callers wait until it is released.
    """
    token, version, life, _ = args
    return int(bool(await call("SET", names[0], f"{token!s} {version!s}", "NX", "PX", life)))


async def _add_usage(run: Run, call: Call, names: list[bytes], args: list[bytes | str]) -> Any:
    """Answer for `scripts.ADD_USAGE` as if there were no entry: a few hits are not counted."""
    return b""


PARTS: Mapping[Script, Callable[..., Coroutine[Any, Any, Any]]] = {
    scripts.WRITE: _write,
    scripts.COMPARE_AND_SET: _compare_and_set,
    scripts.DELETE_AND_GET_HEAD: _delete_and_get_head,
    scripts.INVALIDATE: _invalidate,
    scripts.TAKE_LEASE: _take_lease,
    scripts.ADD_USAGE: _add_usage,
}
"""The scripts that can be run in parts; a computed value is stored in one step or not at all."""
