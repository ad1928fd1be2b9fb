"""The client of Telecine: `from telecine_client import AsyncClient`.

Names are loaded when they are first asked for, so that the command line starts without gRPC.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telecine_client.aio import AsyncClient
    from telecine_client.errors import (
        AlreadyExists,
        ClassLimit,
        DeadlineExceeded,
        InternalError,
        InvalidRequest,
        JobDeleted,
        JobExists,
        JobFinished,
        JobIdSpent,
        JobNotFound,
        LimitReached,
        NotFound,
        PermissionDenied,
        Publishing,
        QueueFull,
        TelecineError,
        Unauthenticated,
        Unavailable,
        Unimplemented,
        Violation,
        WrongState,
    )
    from telecine_client.job_id import new_job_id
    from telecine_client.media import AudioStream, MediaInfo, SubtitleStream, VideoStream
    from telecine_client.spec import job_spec, transcode
    from telecine_client.states import AttemptOutcome, FailureKind, JobState, Phase, WaitReason
    from telecine_client.values import Artifact, Attempt, Failure, Job, JobResult, Progress, StateChange

_HOMES = {
    "aio": ("AsyncClient",),
    "errors": (
        "AlreadyExists",
        "ClassLimit",
        "DeadlineExceeded",
        "InternalError",
        "InvalidRequest",
        "JobDeleted",
        "JobExists",
        "JobFinished",
        "JobIdSpent",
        "JobNotFound",
        "LimitReached",
        "NotFound",
        "PermissionDenied",
        "Publishing",
        "QueueFull",
        "TelecineError",
        "Unauthenticated",
        "Unavailable",
        "Unimplemented",
        "Violation",
        "WrongState",
    ),
    "job_id": ("new_job_id",),
    "media": ("AudioStream", "MediaInfo", "SubtitleStream", "VideoStream"),
    "spec": ("job_spec", "transcode"),
    "states": ("AttemptOutcome", "FailureKind", "JobState", "Phase", "WaitReason"),
    "values": ("Artifact", "Attempt", "Failure", "Job", "JobResult", "Progress", "StateChange"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AlreadyExists",
    "Artifact",
    "AsyncClient",
    "Attempt",
    "AttemptOutcome",
    "AudioStream",
    "ClassLimit",
    "DeadlineExceeded",
    "Failure",
    "FailureKind",
    "InternalError",
    "InvalidRequest",
    "Job",
    "JobDeleted",
    "JobExists",
    "JobFinished",
    "JobIdSpent",
    "JobNotFound",
    "JobResult",
    "JobState",
    "LimitReached",
    "MediaInfo",
    "NotFound",
    "PermissionDenied",
    "Phase",
    "Progress",
    "Publishing",
    "QueueFull",
    "StateChange",
    "SubtitleStream",
    "TelecineError",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "VideoStream",
    "Violation",
    "WaitReason",
    "WrongState",
    "job_spec",
    "new_job_id",
    "transcode",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"telecine_client.{_HOME[name]}"), name)
    globals()[name] = value
    return value
