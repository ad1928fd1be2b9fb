"""How much of one worker is being answered at once; more of it waits in the transport."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

MOST_MESSAGES = 32
# Of these messages together, before the next one is read; and of one message at once.
MOST_ENTRIES = 1000
SLICE = 500

T = TypeVar("T")
S = TypeVar("S")


class Load:
    """Of one stream: a worker that floods waits for itself, and nobody waits long behind it."""

    def __init__(self) -> None:
        self._messages = 0
        self._entries = 0
        self._eased = asyncio.Event()

    async def begin(self, entries: int) -> None:
        """A message with so many entries is going to be answered, as soon as there is room. `end` has to follow."""
        while self._messages >= MOST_MESSAGES or self._entries >= MOST_ENTRIES:
            self._eased.clear()
            await self._eased.wait()
        self._messages += 1
        self._entries += entries

    def end(self, entries: int) -> None:
        """It is answered."""
        self._messages -= 1
        self._entries -= entries
        self._eased.set()


async def in_slices(answer: Callable[[S], Awaitable[T]], items: Sequence[S]) -> list[T]:
    """The answers to *items* in their order."""
    answers: list[T] = []
    for start in range(0, len(items), SLICE):
        answers += await asyncio.gather(*map(answer, items[start : start + SLICE]))
    return answers
