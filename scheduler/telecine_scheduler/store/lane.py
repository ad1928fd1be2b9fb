"""A lane: what arrives while one pipeline is in flight goes into the next.

One path for one call and for a thousand: every verb takes a list, and group commit and throughput come from the same thing.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.store.dialing import leads_elsewhere
from telecine_scheduler.store.exchange import Exchange
from telecine_scheduler.store.link import ANSWER_SECONDS, ask, is_undone, mapped, unavailable
from telecine_scheduler.store.scripts import most_items, script
from telecine_scheduler.store.waits import WAIT_SECONDS, Wait

Argument = str | bytes | int | float
# Called with the lane's name, seconds of the round trip, and its outcome: "ok" or "error".
Observe = Callable[[str, float, str], None]
# Scripts in one pipeline.
MAX_GROUPS = 8
# Under load, which is when more pipelines than SHORT_CHAIN follow one upon the other, the next one waits so long after the last
# for ENOUGH calls.
FILL_SECONDS = 0.003
SHORT_CHAIN = 8
ENOUGH = 16


@dataclass(slots=True)
class _Call:
    verb: str
    header: tuple[Argument, ...]
    item: tuple[Argument, ...]
    answer: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Lane:
    """Sends calls to Redis in the order they came, one pipeline at a time.

    *wait* says what Redis has to wait for behind each pipeline, before anybody is answered.
    """

    def __init__(
        self, name: str, client: Redis, prefix: str, observe: Observe, *, wait: Callable[[], Wait | None] | None = None
    ) -> None:
        self._name = name
        self._client = client
        self._exchange = Exchange(client, self._found_wrong)
        self._partner: Lane | None = None
        self._prefix = prefix
        self._observe = observe
        self._wait = wait or _nothing
        self._waiting: deque[_Call] = deque()
        self._arrived = asyncio.Event()
        # When the last pipeline came back, and how many in a row were wanted right after the one before.
        self._ended = float("-inf")
        self._streak = 0

    def pair_with(self, other: Lane) -> None:
        """Both have a connection to the same server: what one finds out about it, the other is told."""
        self._partner, other._partner = other, self

    def doubt(self) -> None:
        """The connection may be dead, or lead to a server that is no longer the one."""
        self._exchange.doubt()

    def _found_wrong(self) -> None:
        if self._partner is not None:
            self._partner.doubt()

    async def call(self, verb: str, header: Sequence[Argument], item: Sequence[Argument]) -> Any:
        """The reply to one item of *verb*.

        A caller that is cancelled does not take its call back: a script that was sent is awaited by the lane.
        """
        call = _Call(verb, tuple(header), tuple(item))
        # Whoever asked may have gone by the time it fails.
        call.answer.add_done_callback(_look_at)
        self._waiting.append(call)
        self._arrived.set()
        # From its arrival on, so that a call that waits behind a pipeline that hangs does not wait for two.
        timer = asyncio.get_running_loop().call_later(ANSWER_SECONDS, _expire, call)
        try:
            return await asyncio.shield(call.answer)
        finally:
            timer.cancel()

    async def run(self) -> None:
        """Send for ever. Calls that are waiting when it ends are answered UNAVAILABLE."""
        try:
            while True:
                await self._arrived.wait()
                await self._fill()
                groups = self._next_groups()
                if not self._waiting:
                    self._arrived.clear()
                await self._send(groups)
        finally:
            for call in self._waiting:
                _fail(
                    call, StoreUnavailable("this scheduler stops; nothing was changed, repeat the call at another one")
                )
            self._waiting.clear()

    async def _fill(self) -> None:
        """Let what else is ready to be sent in this turn of the loop ride along; under load a little more than that.

        A pipeline costs as much as the call in it. A call that comes alone, or in a short chain of them, meets no pause.
        """
        pause = self._ended + FILL_SECONDS - time.monotonic()
        self._streak = self._streak + 1 if pause > 0 else 0
        await asyncio.sleep(pause if self._streak > SHORT_CHAIN and len(self._waiting) < ENOUGH else 0)

    def _next_groups(self) -> list[list[_Call]]:
        groups: list[list[_Call]] = []
        while self._waiting:
            call = self._waiting[0]
            if call.answer.done():
                # Nobody waits for it any more, and it was not sent.
                self._waiting.popleft()
                continue
            if groups and _joins(call, groups[-1]):
                groups[-1].append(self._waiting.popleft())
            elif len(groups) < MAX_GROUPS:
                groups.append([self._waiting.popleft()])
            else:
                break
        return groups

    async def _send(self, groups: list[list[_Call]]) -> None:
        began = time.monotonic()
        outcome = "error"
        try:
            replies = await ask(lambda: self._pipeline(groups), self._client, seconds=ANSWER_SECONDS)
            outcome = "ok"
        except Exception as error:  # noqa: BLE001 - every caller gets it; a defect ends as INTERNAL at each
            for call in itertools.chain.from_iterable(groups):
                _fail(call, error)
            return
        finally:
            self._ended = time.monotonic()
            self._observe(self._name, self._ended - began, outcome)
        for group, reply in zip(groups, replies, strict=True):
            _answer(group, reply)

    async def _pipeline(self, groups: list[list[_Call]]) -> list[Any]:
        replies, confirmed = await self._execute(groups)
        undone = [index for index, reply in enumerate(replies) if is_undone(reply)]
        if len(undone) < len(groups):
            _check(self._wait(), confirmed)
        if undone:
            # Only what was not done is sent again, and with its source: the script may be forgotten between two commands.
            again, confirmed = await self._execute([groups[index] for index in undone], whole=True)
            _check(self._wait(), confirmed)
            for index, reply in zip(undone, again, strict=True):
                replies[index] = reply
        return replies

    async def _execute(self, groups: list[list[_Call]], *, whole: bool = False) -> tuple[list[Any], list[Any]]:
        """The replies to the scripts, and to what has to be waited for behind them."""
        commands: list[tuple[Any, ...]] = []
        for group in groups:
            items = itertools.chain.from_iterable(call.item for call in group)
            arguments: Iterable[Argument] = (len(group), *group[0].header, *items)
            known = script(group[0].verb)
            run = ("EVAL", known.source) if whole else ("EVALSHA", known.sha)
            commands.append((*run, 1, self._prefix, *arguments))
        wait = self._wait()
        if wait:
            commands += wait.commands(self._prefix)
        replies = await self._exchange.send(commands, wait_seconds=WAIT_SECONDS if wait else 0)
        if any(map(leads_elsewhere, replies)):
            self._found_wrong()
        return replies[: len(groups)], replies[len(groups) :]


def _nothing() -> None:
    return None


def _check(wait: Wait | None, replies: list[Any]) -> None:
    """Raise unless what was waited for came true."""
    if wait is None:
        return
    for reply in replies:
        if isinstance(reply, Exception):
            raise mapped(cast(RedisError, reply))
    short = wait.short(replies[-1])
    if short:
        raise StoreUnavailable(f"{short}; the outcome is not known, repeat the call with the same job_id")


def _joins(call: _Call, group: list[_Call]) -> bool:
    """Whether a call may be an item of the same script."""
    first = group[0]
    alike = (first.verb, first.header) == (call.verb, call.header)
    return alike and len(group) < most_items(call.verb)


def _answer(group: list[_Call], reply: Any) -> None:
    if isinstance(reply, Exception):
        for call in group:
            _fail(call, mapped(reply))  # type: ignore[arg-type]
        return
    for call, item in zip(group, reply, strict=True):
        if not call.answer.done():
            call.answer.set_result(item)


def _look_at(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled():
        answer.exception()


def _expire(call: _Call) -> None:
    _fail(call, unavailable(TimeoutError()))


def _fail(call: _Call, error: Exception) -> None:
    if not call.answer.done():
        call.answer.set_exception(error)
