"""How an attempt ends, and what it leaves."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from telecine_worker.failure import Failure
from telecine_worker.ffmpeg.failure_kinds import is_interruption
from telecine_worker.ffmpeg.findings import Detection
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.ffmpeg.warning import MediaWarning


class StopReason(enum.StrEnum):
    """Why somebody ends an attempt from outside. NO_SPACE: it fills the worker's disk."""

    CANCELLED = "cancelled"
    LEASE_LOST = "lease_lost"
    DRAINED = "drained"
    NO_SPACE = "no_space"


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
    """The end of an attempt: one of the classes below.

    *usage* counts all its child processes, *input_size_bytes* what it opened or fetched, *output_size_bytes* what it published.
    *phases* has the wall time of each phase that it entered.
    """

    usage: Usage
    input_size_bytes: int = 0
    output_size_bytes: int = 0
    phases: Mapping[Phase, timedelta] = field(default_factory=dict)

    def given_back(self, reason: str) -> Returned:
        """The same attempt, whose end says nothing of the job."""
        return Returned(usage=self.usage, input_size_bytes=self.input_size_bytes, phases=self.phases, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded(Ended):
    """Every artifact is published. *inputs* says what each input turned out to be, by name. *detections* are in order of
    time.
    """

    artifacts: tuple[Artifact, ...]
    inputs: Mapping[str, MediaInfo]
    measurements: Mapping[str, float] = field(default_factory=dict)
    detections: tuple[Detection, ...] = ()
    warnings: tuple[MediaWarning, ...] = ()


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
        return ended.given_back("DRAINING")
    return ended
