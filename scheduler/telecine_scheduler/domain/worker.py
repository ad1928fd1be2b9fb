"""Workers as every scheduler knows them: what they offer, and that they are there."""

from __future__ import annotations

from dataclasses import dataclass

from telecine_scheduler.domain.lease import StreamId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOffer:
    """What a worker said of itself when it connected."""

    queues: frozenset[str]
    capabilities: frozenset[str]
    slots: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """That a worker's stream is open here, and whether the worker drains."""

    stream: StreamId
    offer: WorkerOffer
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A connected worker. *busy* counts units of its leases; times are numbers of the store's clock."""

    worker_id: str
    offer: WorkerOffer
    busy: int
    draining: bool
    connected: int
    last_seen: int
