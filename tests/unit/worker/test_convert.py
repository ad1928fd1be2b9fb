"""The worker's values as messages: every field arrives, what is unknown is absent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from telecine.v1 import job_pb2
from telecine_worker import convert
from telecine_worker.failure import Failure, FailureKind
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Phase, Snapshot
from telecine_worker.outcome import Artifact, Succeeded


@pytest.mark.parametrize("kind", FailureKind)
def test_every_kind_has_its_wire_value(kind):
    """By the same name."""
    message = convert.failure(Failure(kind=kind, reason="R", message="m", log_tail="l", exit_code=-9))
    assert f"KIND_{kind.name}" == job_pb2.Failure.Kind.Name(message.kind)
    assert ("R", "m", "l", -9) == (message.reason, message.message, message.log_tail, message.exit_code)


def test_no_process_no_exit_code():
    """Absent, not 0."""
    message = convert.failure(Failure(kind=FailureKind.PERMANENT, reason="R", message="m"))
    assert not message.HasField("exit_code")


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_its_wire_value(phase):
    """By the same name; what is unknown is absent."""
    message = convert.progress(Snapshot(phase=phase))
    assert f"PHASE_{phase.name}" == job_pb2.Progress.Phase.Name(message.phase)
    for field in ("fraction", "media_position", "media_duration", "remaining_duration"):
        assert not message.HasField(field)


def test_progress_carries_every_number():
    """In its own unit."""
    message = convert.progress(
        Snapshot(
            phase=Phase.ENCODING,
            fraction=0.5,
            media_position=timedelta(seconds=1.5),
            media_duration=timedelta(seconds=3),
            speed=2.5,
            frames_per_second=60.0,
            frame_count=45,
            output_size_bytes=1000,
            remaining=timedelta(seconds=9),
        )
    )
    assert (0.5, 2.5, 60.0) == (message.fraction, message.speed, message.frames_per_second)
    assert (45, 1000) == (message.frame_count, message.output_size_bytes)
    durations = (message.media_position, message.media_duration, message.remaining_duration)
    assert [1.5, 3, 9] == [each.ToTimedelta().total_seconds() for each in durations]


def test_a_result_carries_artifacts_and_inputs(film):
    """Probed values included; an unknown duration or frame rate is absent."""
    unknown = replace(film, duration=None, video=(replace(film.video[0], frame_rate=None),))
    artifact = Artifact(
        path="a.mp4", uri="file:///a.mp4", size_bytes=5, sha256="ab", media_type="video/mp4", media=film
    )
    message = convert.result(
        Succeeded(
            usage=Usage(),
            artifacts=(artifact, replace(artifact, media=None)),
            inputs={"main": unknown},
            measurements={"x": 1},
        )
    )
    first, second = message.artifacts
    assert (
        *("a.mp4", "file:///a.mp4", 5, "ab"),
        1,
    ) == (first.path, first.uri, first.size_bytes, first.sha256, first.file_count)
    assert (1280, 2) == (first.media.video_streams[0].width_px, first.media.audio_streams[0].channel_count)
    assert (30, 10) == (first.media.video_streams[0].frame_rate.numerator, first.media.duration.seconds)
    assert not second.HasField("media")
    assert not message.inputs["main"].HasField("duration")
    assert not message.inputs["main"].video_streams[0].HasField("frame_rate")
    assert {"x": 1.0} == dict(message.measurements)
