"""May a lease's files be made visible? The question, and which answer counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from telecine.v1 import lease_service_pb2 as pb
from telecine_worker.attempt import Permission
from telecine_worker.outcome import StopReason

# A publish window is counted from the question, less this.
MARGIN_SECONDS = 2.0
# How soon a question is repeated that the scheduler could not decide.
ASK_AGAIN_SECONDS = 2.0


class PublishQuestion:
    """Of one lease. *send* sends a PublishRequest, or drops it where there is no stream.

    A stream loses nothing while it lives, and answers every question once. So one is asked on each stream, and again
    after TRY_AGAIN only; and the last answer that is due is that to the newest question, from which the window counts.
    Answers that are not due, of a stream that is over or to a question nobody waits for, are passed over.
    """

    def __init__(self, send: Callable[[], None]) -> None:
        self._send = send
        self._asked = 0.0
        self._answers_due = 0
        self._permission: asyncio.Future[Permission] | None = None
        self._again: asyncio.TimerHandle | None = None

    async def ask(self) -> Permission:
        """Ask, over as many streams as it takes, until it is decided."""
        self._permission = asyncio.get_running_loop().create_future()
        self._put()
        try:
            return await self._permission
        finally:
            self._permission = None
            self._cancel_timer()

    def begin_stream(self) -> None:
        """What was asked on an older stream is not answered any more."""
        self._answers_due = 0
        self._cancel_timer()
        if self._permission is not None and not self._permission.done():
            self._put()

    def decide(self, message: pb.PublishDecision) -> None:
        """An answer has come."""
        if self._answers_due == 0:
            return
        self._answers_due -= 1
        if self._permission is None or self._permission.done() or self._answers_due > 0:
            return
        match message.decision:
            case pb.PublishDecision.DECISION_ALLOWED:
                window = message.valid_for.ToTimedelta().total_seconds()
                deadline = self._asked + window - MARGIN_SECONDS
                self._permission.set_result(Permission(allowed=True, deadline=deadline))
            case pb.PublishDecision.DECISION_CANCEL:
                self._permission.set_result(Permission(allowed=False, refusal=StopReason.CANCELLED))
            case pb.PublishDecision.DECISION_STALE:
                self._permission.set_result(Permission(allowed=False, refusal=StopReason.LEASE_LOST))
            case _:
                self._again = asyncio.get_running_loop().call_later(ASK_AGAIN_SECONDS, self._put)

    def _put(self) -> None:
        self._asked = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._answers_due += 1
        self._send()

    def _cancel_timer(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
