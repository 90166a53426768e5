"""Long loops that let others run now and then."""

from __future__ import annotations

import asyncio

_MANY = 256  # items; decoding that many takes some milliseconds


async def checkpoint(count: int) -> None:
    """Give whatever else is to be done a turn, after some hundred items.

    Args:
        count: how many items were worked on so far.

    Example:
        >>> async def total(numbers):
        ...     result = 0
        ...     for count, number in enumerate(numbers, 1):
        ...         result += number
        ...         await checkpoint(count)
        ...     return result
        >>> run(total(range(1000)))
        499500
    """
    if not count % _MANY:
        await asyncio.sleep(0)
