"""The client of Telecine: `from telecine_client import AsyncClient`, or `Client` where there is no event loop.

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
        GenerationMismatch,
        InternalError,
        InvalidRequest,
        JobDeleted,
        JobExists,
        JobFinished,
        JobIdSpent,
        JobNotFinished,
        JobNotFound,
        JobSucceeded,
        LimitReached,
        ManyError,
        NotFound,
        PermissionDenied,
        Publishing,
        QueueFull,
        SubmitManyError,
        TelecineError,
        Unauthenticated,
        Unavailable,
        Unimplemented,
        Violation,
        WaitManyError,
        WrongState,
    )
    from telecine_client.job_id import new_job_id
    from telecine_client.media import AudioStream, MediaInfo, SubtitleStream, VideoStream
    from telecine_client.settings import SecurityOptions
    from telecine_client.spec import job_spec, probe, thumbnails, transcode
    from telecine_client.spec_options import SpecOptions
    from telecine_client.states import AttemptOutcome, DetectionKind, FailureKind, JobState, Phase, WaitReason
    from telecine_client.sync import Client
    from telecine_client.values import (
        Artifact,
        Attempt,
        Detection,
        Failure,
        Job,
        JobResult,
        JobWarning,
        Page,
        Progress,
        QueueStats,
        StateChange,
        WatchEvent,
        Worker,
    )

_HOMES = {
    "aio": ("AsyncClient",),
    "sync": ("Client",),
    "errors": (
        "AlreadyExists",
        "ClassLimit",
        "DeadlineExceeded",
        "GenerationMismatch",
        "InternalError",
        "InvalidRequest",
        "JobDeleted",
        "JobExists",
        "JobFinished",
        "JobIdSpent",
        "JobNotFinished",
        "JobNotFound",
        "JobSucceeded",
        "LimitReached",
        "ManyError",
        "NotFound",
        "PermissionDenied",
        "Publishing",
        "QueueFull",
        "SubmitManyError",
        "TelecineError",
        "Unauthenticated",
        "Unavailable",
        "Unimplemented",
        "Violation",
        "WaitManyError",
        "WrongState",
    ),
    "job_id": ("new_job_id",),
    "media": (
        "AudioStream",
        "MediaInfo",
        "SubtitleStream",
        "VideoStream",
    ),
    "settings": ("SecurityOptions",),
    "spec": (
        "job_spec",
        "probe",
        "thumbnails",
        "transcode",
    ),
    "spec_options": ("SpecOptions",),
    "states": (
        "AttemptOutcome",
        "DetectionKind",
        "FailureKind",
        "JobState",
        "Phase",
        "WaitReason",
    ),
    "values": (
        "Artifact",
        "Attempt",
        "Detection",
        "Failure",
        "Job",
        "JobResult",
        "JobWarning",
        "Page",
        "Progress",
        "QueueStats",
        "StateChange",
        "WatchEvent",
        "Worker",
    ),
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
    "Client",
    "DeadlineExceeded",
    "Detection",
    "DetectionKind",
    "Failure",
    "FailureKind",
    "GenerationMismatch",
    "InternalError",
    "InvalidRequest",
    "Job",
    "JobDeleted",
    "JobExists",
    "JobFinished",
    "JobIdSpent",
    "JobNotFinished",
    "JobNotFound",
    "JobResult",
    "JobState",
    "JobSucceeded",
    "JobWarning",
    "LimitReached",
    "ManyError",
    "MediaInfo",
    "NotFound",
    "Page",
    "PermissionDenied",
    "Phase",
    "Progress",
    "Publishing",
    "QueueFull",
    "QueueStats",
    "SecurityOptions",
    "SpecOptions",
    "StateChange",
    "SubmitManyError",
    "SubtitleStream",
    "TelecineError",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "VideoStream",
    "Violation",
    "WaitManyError",
    "WaitReason",
    "WatchEvent",
    "Worker",
    "WrongState",
    "job_spec",
    "new_job_id",
    "probe",
    "thumbnails",
    "transcode",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"telecine_client.{_HOME[name]}"), name)
    globals()[name] = value
    return value
