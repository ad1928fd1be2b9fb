"""What every verb's method stands on: the lanes, and what this scheduler says of itself with a call."""

from __future__ import annotations

from telecine_scheduler.domain.admission import Admission
from telecine_scheduler.domain.errors import StreamFenced
from telecine_scheduler.domain.lease import Endings, StreamId, Times
from telecine_scheduler.store.codec import microseconds
from telecine_scheduler.store.lane import Argument, Lane


class StoreBase:
    """Two lanes: *durable* for what a caller or worker is told is done, *fast* for the rest."""

    def __init__(
        self, *, durable: Lane, fast: Lane, scheduler: str, times: Times, admission: Admission, endings: Endings
    ) -> None:
        self._durable = durable
        self._fast = fast
        self._scheduler = scheduler
        self._times = times
        self._admission = admission
        self._endings = endings

    def _endings_header(self) -> tuple[Argument, ...]:
        """What scripts need that may end an attempt: the cancel grace, the failures they write, how fast retries come."""
        endings, admission = self._endings, self._admission
        grace = microseconds(self._times.cancel_grace)
        interval = round(1e6 / admission.retry_rate) if admission.retry_rate else 0
        return (
            grace, endings.worker_lost, endings.queue_timeout, endings.total_timeout, endings.run_timeout, endings.poison,
            interval, admission.retry_burst,
        )  # fmt: skip


def fenced(stream: StreamId) -> StreamFenced:
    """The error for a stream that is not its worker's newest."""
    return StreamFenced(f"worker {stream.worker_id} has a later stream than epoch {stream.epoch}; this one ends")
