"""How an attempt ends, and what it leaves."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from telecine_worker.failure import Failure
from telecine_worker.ffmpeg.failure_kinds import is_interruption
from telecine_worker.ffmpeg.findings import Detection
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.process import Usage


class StopReason(enum.StrEnum):
    """Why somebody ends an attempt from outside."""

    CANCELLED = "cancelled"
    LEASE_LOST = "lease_lost"
    DRAINED = "drained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One published file; the fields of telecine.v1.Artifact."""

    path: str
    uri: str
    size_bytes: int
    sha256: str
    media_type: str
    media: MediaInfo | None
    file_count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of an attempt: one of the classes below. *usage* counts all its child processes."""

    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded(Ended):
    """Every artifact is published. *inputs* says what each input turned out to be, by name. *detections* are in order of
    time.
    """

    artifacts: tuple[Artifact, ...]
    inputs: Mapping[str, MediaInfo]
    measurements: Mapping[str, float] = field(default_factory=dict)
    detections: tuple[Detection, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Ended):
    """Nothing is published but, rarely, some of several files whose publishing broke off."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned(Ended):
    """Given back unharmed. *reason* is UPPER_SNAKE_CASE."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(Ended):
    """Stopped because a caller cancelled the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned(Ended):
    """The lease was lost: nothing more is to be said about it."""


def returned_if_interrupted(ended: Ended) -> Ended:
    """For a worker that is being stopped: whoever stops it may stop its whole group of processes, FFmpeg among them, and that
    is no failure of the job.
    """
    if isinstance(ended, Failed) and is_interruption(ended.failure):
        return Returned(usage=ended.usage, reason="DRAINING")
    return ended
