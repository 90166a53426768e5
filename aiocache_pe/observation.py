"""Observed calls: the list that `aiocache_pe.observe` fills, one item for each cached call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CallOutcome = Literal["hit", "miss", "stale", "joined", "bypassed", "unstorable"]
"""The way in which a call got its result."""


@dataclass(slots=True, kw_only=True)
class ObservedCall:
    """A cached call inside `aiocache_pe.observe`.

    The item of a stream is complete when the stream has ended.

    Attributes:
        function: the function, with its module; ``get_or_set``; ``langchain``; or the server, path
            and model of an HTTP request.
        outcome: ``"hit"``, ``"miss"``, ``"stale"`` for an expired entry, ``"joined"`` for the
            result of another caller that ran meanwhile, ``"bypassed"`` for a call past the
            cache, or ``"unstorable"`` for a miss with a result that is not stored.
        namespace: the namespace of the entry; empty for a bypassed call.
        key: the key, as ``cache.get`` takes it; empty for a bypassed call.
        seconds: the duration of the call; of an HTTP stream until its headers have arrived.
        age: the age of the entry in whole seconds; ``None`` if no entry answered.
        tier: ``"memory"``, or the name of the store that answered; ``None`` if no entry answered.
        seconds_saved: the duration of the computation that the call did not make.
        input_tokens_saved: the tokens that were not sent to a model.
        output_tokens_saved: the tokens that a model did not generate.
        money_saved: the price of these tokens.
        reason: the reason for which the call was bypassed, has failed, or its result is not
            stored; empty without one.

    Example:
        >>> from aiocache_pe import observe
        >>> async def main():
        ...     with observe() as calls:
        ...         for _ in range(2):
        ...             await cache.get_or_set("n", lambda: 42)
        ...     return [(call.function, call.key, call.outcome, call.tier) for call in calls]
        >>> run(main())
        [('get_or_set', 'n', 'miss', None), ('get_or_set', 'n', 'hit', 'memory')]
    """

    function: str
    outcome: CallOutcome
    namespace: str = ""
    key: str = ""
    seconds: float = 0.0
    age: int | None = None
    tier: str | None = None
    seconds_saved: float = 0.0
    input_tokens_saved: int = 0
    output_tokens_saved: int = 0
    money_saved: float = 0.0
    reason: str = ""
