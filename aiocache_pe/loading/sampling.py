"""Numbers of samples: repeated requests get the numbers 0 to n - 1 in turn.

The first request of a key gets 0, the second one 1, and so on. After the last number, the first one
follows. So the same sequence of requests gets the same numbers in each process. A request that
fails gives its number back, and the next request of the key gets it.

A recording counts for itself: each block begins with 0.

No lock is taken, because a signal handler may make a request at any moment: the steps are atomic.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Generator
from contextlib import contextmanager, suppress
from heapq import heappop, heappush
from itertools import count

from aiocache_pe import context
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.store_keys import describe

_MAX_KEYS = 10_000
"""Keys to count, after which the oldest one begins with 0 again."""


def check_samples(samples: object) -> int:
    """Return a number of samples.

    Raises:
        TypeError: it is no int.
        ConfigurationError: it is less than 1.
    """
    if type(samples) is not int:
        raise TypeError(f"samples must be an int; got {describe(samples)}")
    if samples < 1:
        raise ConfigurationError(f"samples must be an int of 1 or more; got {samples}")
    return samples


class SampleNumbers:
    """The numbers that the requests of one function or transport get.

    Args:
        samples: the count of numbers.

    Example:
        >>> numbers = SampleNumbers(2)
        >>> [numbers.take("k"), numbers.take("k"), numbers.take("k")]
        [0, 1, 0]
    """

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._turns: context.Turns = {}

    def take(self, key: str) -> int:
        """Return the number of the next request of a key."""
        turns = self._get_turns()
        counter, returned = turns.get(key) or turns.setdefault(key, (count(), []))
        if len(turns) > _MAX_KEYS:
            with suppress(KeyError, RuntimeError, StopIteration):  # another thread does it
                del turns[next(iter(turns))]
        try:
            return heappop(returned)
        except IndexError:
            return next(counter) % self._samples

    def give_back(self, key: str, number: int) -> None:
        """Let the next request of a key have a number."""
        found = self._get_turns().get(key)
        if found is not None:
            heappush(found[1], number)

    @contextmanager
    def use(self, key: str) -> Generator[int]:
        """Yield the number of a request; it is given back if the request fails."""
        number = self.take(key)
        try:
            yield number
        except (Exception, CancelledError):
            self.give_back(key, number)
            raise

    def _get_turns(self) -> context.Turns:
        cassette = context.current_cassette()
        return self._turns if cassette is None else cassette.turns
