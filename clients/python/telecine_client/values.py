"""What the client answers with: frozen values, times in UTC by the clock of the scheduler's database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from google.protobuf import json_format

from telecine.v1 import job_pb2, media_pb2
from telecine_client.errors import TelecineError
from telecine_client.media import MediaInfo
from telecine_client.states import AttemptOutcome, DetectionKind, FailureKind, JobState, Phase, WaitReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the current or last attempt is. Nothing that grows goes back within an attempt."""

    fraction: float | None
    """0..1 over the whole attempt; None while unknown, for example for an input without a duration."""
    phase: Phase
    media_position: timedelta | None
    media_duration: timedelta | None
    speed: float | None
    """Media seconds per wall second; 1 is real time."""
    frames_per_second: float | None
    frame_count: int
    output_size_bytes: int | None
    remaining: timedelta | None
    update_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt or a job failed. Decide by `kind`; `reason` may take values that are not known yet."""

    kind: FailureKind
    reason: str
    message: str
    log_tail: str
    """The end of FFmpeg's own log, at most 8 KiB; only in Job.failure."""
    exit_code: int | None
    """FFmpeg's; negative is the signal that ended it; None when no process ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of a job under one lease."""

    number: int
    worker_id: str
    token: int
    start_time: datetime | None
    end_time: datetime | None
    outcome: AttemptOutcome | None
    """None while it runs."""
    failure: Failure | None
    cpu_duration: timedelta | None
    """Of the child processes; None while it runs, and where the worker was lost."""
    peak_memory_bytes: int | None
    """The largest of any child process; None while unknown."""
    input_size_bytes: int | None
    """Of all inputs, fetched or opened; None while unknown."""
    output_size_bytes: int
    """Of all files that were published."""
    phases: Mapping[Phase, timedelta]
    """Wall time in each phase that was entered, in their order; empty while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """A step from one state to another."""

    revision: int
    state: JobState
    time: datetime | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One published file, or one set of segments (then `path` is their folder)."""

    path: str
    uri: str
    size_bytes: int
    sha256: str
    media_type: str
    media: MediaInfo | None
    file_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Something that a probe found in an input; times are from the input's start."""

    kind: DetectionKind
    start: timedelta
    end: timedelta | None
    """None for a scene change, which has no length."""
    score: float | None
    """How sure, 0..1; only of a scene change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWarning:
    """Something that was not as it should be, and did not keep the job from its end."""

    reason: str
    """INPUT_DAMAGED, INPUT_TRUNCATED, HARDWARE_FAILED; there may be others that are not known yet."""
    message: str
    count: int
    """How often; 1 where it is not counted."""
    input_name: str
    """Empty where it is about no input, or about one that cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """What a succeeded job made."""

    artifacts: tuple[Artifact, ...]
    measurements: Mapping[str, float]
    inputs: Mapping[str, MediaInfo]
    """What each input turned out to be, by input name."""
    detections: tuple[Detection, ...]
    """What a probe was asked to look for, in order of time, at most 1000 of each kind; how many: see `measurements`."""
    warnings: tuple[JobWarning, ...]
    """At most 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job at one revision.

    `spec`, `attempts` and `result.artifacts` are there in answers of get and wait, and need not be in those of other calls; a
    watch of one job gives `spec` always and `attempts` in its first snapshot. Every watch gives artifacts in its last.
    """

    tenant: str
    job_id: str
    state: JobState
    revision: int
    """Grows with every visible change; numbers are skipped. Only compare revisions of one job."""
    spec: media_pb2.JobSpec | None = field(hash=False)
    """What was asked, in the contract's own form; header values and URL queries are never given back."""
    wait_reason: WaitReason | None
    blocked_reason: str
    """While QUEUED: why no connected worker could run it, for people; empty while one could. No part of `revision`."""
    labels: Mapping[str, str]
    progress: Progress | None
    failure: Failure | None
    result: JobResult | None
    attempt_count: int
    attempts: tuple[Attempt, ...]
    generation: int
    cancel_reason: str
    recent_changes: tuple[StateChange, ...]
    create_time: datetime | None
    queue_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    update_time: datetime | None
    expire_time: datetime | None
    due_time: datetime | None
    _message: job_pb2.Job = field(repr=False, compare=False)

    def to_json(self) -> str:
        """The contract's Job message in proto JSON, on one line."""
        return json.dumps(json_format.MessageToDict(self._message), separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of the jobs of a listing."""

    jobs: tuple[Job, ...]
    next_page_token: str
    """For the next page, with the same filter; empty after the last one. A page may be short, or empty, and not the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """How full a tenant's queue is, and how many workers serve it."""

    jobs_by_state: Mapping[JobState, int]
    """Of the tenant; every known state is there."""
    oldest_queued: timedelta | None
    """How long the job that became QUEUED first has been so; None while none is."""
    worker_count: int
    """Of the workers that serve the queue, draining ones left out, whoever's jobs are in their slots."""
    slot_count: int
    busy_slot_count: int
    blocked_job_count: int
    """QUEUED jobs of the tenant that no connected worker could run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker that is connected to a scheduler."""

    worker_id: str
    version: str
    queues: tuple[str, ...]
    capabilities: tuple[str, ...]
    """For example "encoder/libx265", "filter/zscale", "gpu/nvidia"."""
    slot_count: int
    busy_slot_count: int
    draining: bool
    """It takes no more work."""
    connect_time: datetime | None
    last_seen_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """What a watch of many jobs tells: a newer snapshot, why a job is not watched any more, or that changes were missed.

    With all or labels there are also events with nothing but a newer `resume_token`: what changed was of other jobs.
    """

    job_id: str
    """Empty where it is about no job."""
    job: Job | None
    error: TelecineError | None
    """JobNotFound or JobDeleted: this job is not watched any more; the others are."""
    reset: bool
    """Changes were missed before this event: the watch was away for too long; list the jobs again. Only with all or labels."""
    resume_token: str
    """Begin another watch with it to go on after this event. Only with all or labels."""
