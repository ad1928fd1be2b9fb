"""The closed sets of words a job is described with.

Each set has UNKNOWN for words that a newer scheduler may send: treat it as the set's most careful meaning (a state that
is not final, a failure of unknown kind).
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is in its life."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        """Nothing but a retry asked for by a caller leaves this state."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


class WaitReason(StrEnum):
    """Why a WAITING job waits."""

    NOT_BEFORE = "not_before"
    BACKOFF = "backoff"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Phase(StrEnum):
    """What the current attempt is doing."""

    FETCHING = "fetching"
    PROBING = "probing"
    ANALYZING = "analyzing"
    ENCODING = "encoding"
    VERIFYING = "verifying"
    UPLOADING = "uploading"
    PUBLISHING = "publishing"
    UNKNOWN = "unknown"


class FailureKind(StrEnum):
    """What a failure means for another attempt."""

    PERMANENT = "permanent"
    RETRYABLE = "retryable"
    CRASH = "crash"
    DEADLINE = "deadline"
    UNKNOWN = "unknown"


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETURNED = "returned"
    CANCELLED = "cancelled"
    LOST = "lost"
    UNKNOWN = "unknown"


class DetectionKind(StrEnum):
    """What a probe found in an input."""

    SCENE_CHANGE = "scene_change"
    BLACK = "black"
    SILENCE = "silence"
    UNKNOWN = "unknown"
