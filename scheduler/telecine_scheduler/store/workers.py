"""The verbs of the directory: which workers are connected, to whichever scheduler."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from telecine_scheduler.domain.lease import StreamId
from telecine_scheduler.domain.worker import WorkerOffer, WorkerRecord, WorkerReport
from telecine_scheduler.store.base import StoreBase


class WorkerVerbs(StoreBase):
    """What schedulers tell one another of their workers."""

    async def report_workers(self, reports: Sequence[WorkerReport]) -> list[StreamId]:
        """Say that these workers are connected here; which of the streams are not their workers' newest any more.

        What a worker offers is sent when the store does not have it, which it says.
        """
        words = await asyncio.gather(*(self._beat(report, "") for report in reports))
        unknown = [report for report, word in zip(reports, words, strict=True) if word == b"OFFER"]
        again = await asyncio.gather(*(self._beat(report, _encoded(report.offer)) for report in unknown))
        answers = [*zip(reports, words, strict=True), *zip(unknown, again, strict=True)]
        return [report.stream for report, word in answers if word == b"FENCED"]

    async def _beat(self, report: WorkerReport, offer: str) -> Any:
        stream = report.stream
        item = (stream.worker_id, stream.session_id, stream.epoch, offer, int(report.draining))
        return await self._fast.call("beat", (self._scheduler,), item)

    async def workers(self, after: str, limit: int) -> list[WorkerRecord]:
        """The connected workers whose id comes after *after*, in byte order; fewer than *limit* when there are no more."""
        rows = await self._fast.call("workers", (), (after, limit))
        return [_record(*row) for row in rows]


def _encoded(offer: WorkerOffer) -> str:
    fields = {
        "queues": sorted(offer.queues), "capabilities": sorted(offer.capabilities), "slots": offer.slots,
        "version": offer.version,
    }  # fmt: skip
    return json.dumps(fields, separators=(",", ":"))


def _record(
    worker_id: bytes, offer: bytes, busy: int, draining: bytes, connected: bytes, last_seen: bytes
) -> WorkerRecord:
    fields = json.loads(offer)
    return WorkerRecord(
        worker_id=worker_id.decode(),
        offer=WorkerOffer(
            queues=frozenset(fields["queues"]),
            capabilities=frozenset(fields["capabilities"]),
            slots=fields["slots"],
            version=fields["version"],
        ),
        busy=busy,
        draining=draining == b"1",
        connected=int(connected),
        last_seen=int(last_seen),
    )
