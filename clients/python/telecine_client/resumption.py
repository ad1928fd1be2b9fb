"""How a watch goes on after a break: what was seen, and when it is given up. The rules of every watch of both clients."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import wire
from telecine_client.addresses import Rotation, named
from telecine_client.arguments import checked_duration
from telecine_client.backoff import Backoff
from telecine_client.errors import InternalError, LimitReached, TelecineError, Unavailable
from telecine_client.values import Job

# A transport's own INTERNAL or UNKNOWN (a reset stream, a proxy's answer) is a break; so many in a row, without a
# answer or another kind of break between them, are an error that will stay.
MOST_STRANGE_BREAKS = 5
# A stream that was open longer had a scheduler at its other end, whether that had anything to tell or not: connecting may take
# 5 s, and a peer that is gone is noticed within 15 s.
CERTAINLY_REACHED = timedelta(seconds=20)


@dataclass(slots=True, kw_only=True)
class Seen:
    """What the watch of one job knows so far."""

    revision: int
    """The last one given to the caller, or the one the caller began after."""
    spec: job_pb2.Job | None = None
    """The snapshot that had the spec; the later ones come without."""

    def resumed(self, request: service_pb2.WatchJobRequest) -> service_pb2.WatchJobRequest:
        """What the next stream is asked."""
        again = service_pb2.WatchJobRequest()
        again.CopyFrom(request)
        again.after_revision = self.revision
        return again

    def take(self, message: job_pb2.Job) -> Job | None:
        """The snapshot as a value, or None for one that is not newer.

        The end is new whatever its revision is: a caller may begin after the last one, and a scheduler whose database lost its
        last moments counts from before.
        """
        if message.revision <= self.revision and not wire.job_state(message.state).final:
            return None
        if message.HasField("spec"):
            self.spec = message
        elif self.spec is not None:
            message.spec.CopyFrom(self.spec.spec)
        self.revision = message.revision
        return wire.job(message)


class Breaks:
    """The breaks since the last news, and since when there has been no contact. Times are seconds of one clock."""

    def __init__(self, now: float, *, backoff: Backoff, rotation: Rotation, outage_timeout: timedelta | None) -> None:
        """Gives up after *outage_timeout* without contact (None: never)."""
        self._begin_time = self._contact_time = now
        self._backoff = backoff
        self._rotation = rotation
        self._outage_timeout = checked_duration("outage_timeout", outage_timeout)
        self._address = rotation.current
        self._tried: dict[str, None] = {}
        self._count = self._strange = 0

    def begin(self, now: float) -> str:
        """Where the next stream goes."""
        self._begin_time, self._address = now, self._rotation.current
        self._tried[self._address] = None
        return self._address

    def taken(self, now: float) -> None:
        """A scheduler took the stream; it has said nothing yet, and may be one that ends every stream."""
        self._contact_time = now
        self._tried = {self._address: None}

    def contact(self, now: float) -> None:
        """A scheduler answered."""
        self.taken(now)
        self._strange = 0

    def news(self) -> None:
        """Something new came: start afresh."""
        self._count = 0

    def wait(self, failed: TelecineError, now: float) -> float:
        """One more: how many seconds to wait before the next stream.

        Raises the error when it is no break but an answer that will stay, or when the outage has lasted too long.
        """
        if now - self._begin_time > CERTAINLY_REACHED.total_seconds():
            self.contact(now)
        cause = named(failed, self._tried)
        strange = isinstance(cause, InternalError) and not cause.reason
        away = isinstance(cause, Unavailable) or (isinstance(cause, LimitReached) and cause.retry_after is not None)
        self._count += 1
        self._strange = self._strange + 1 if strange else 0
        if not (away or strange) or self._strange > MOST_STRANGE_BREAKS:
            raise cause
        self._rotation.turn_from(self._address)
        wait = self._backoff.wait(self._count, at_least=cause.retry_after).total_seconds()
        outage = self._outage_timeout
        if outage is not None and now + wait >= self._contact_time + outage.total_seconds():
            raise cause
        return wait
