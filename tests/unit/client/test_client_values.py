"""From the contract's messages to values."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from telecine.v1 import job_pb2, media_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import wire
from telecine_client.media import AudioStream, MediaInfo, VideoStream
from telecine_client.read_only import ReadOnly
from telecine_client.states import AttemptOutcome, DetectionKind, FailureKind, JobState, Phase, WaitReason
from telecine_client.values import Attempt, Detection, Failure, JobWarning, Progress, StateChange

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
AT_NOON = Timestamp(seconds=int(NOON.timestamp()))


@pytest.mark.parametrize(
    ("words", "wire_enum"),
    [
        (JobState, job_pb2.JobState),
        (WaitReason, job_pb2.WaitReason),
        (Phase, job_pb2.Progress.Phase),
        (FailureKind, job_pb2.Failure.Kind),
        (AttemptOutcome, job_pb2.Attempt.Outcome),
        (DetectionKind, job_pb2.Detection.Kind),
    ],
)
def test_every_word_of_the_contract_has_a_member(words: type[StrEnum], wire_enum: Any) -> None:
    """Each number but UNSPECIFIED converts to the member of its name, and every member but UNKNOWN is reached."""
    descriptor = wire_enum.DESCRIPTOR
    converted = {value.number: wire._word(words, descriptor, value.number) for value in descriptor.values}
    assert words["UNKNOWN"] == converted.pop(0)
    # The contract's own UNKNOWN, of failures, is the same word.
    assert set(words) - {words["UNKNOWN"]} == set(converted.values()) - {words["UNKNOWN"]}
    assert all(descriptor.values_by_number[number].name.endswith(word.name) for number, word in converted.items())


def test_a_word_of_the_future_is_unknown_and_not_final() -> None:
    """A newer scheduler's state does not raise and does not end a watch."""
    assert (wire.job_state(4711), wire.job_state(4711).final) == (JobState.UNKNOWN, False)


def test_exactly_three_states_are_final() -> None:
    """Those that nothing but a retry leaves."""
    assert {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED} == {state for state in JobState if state.final}


def test_an_empty_job_has_no_made_up_facts() -> None:
    """What is not set is None, not zero, not 1970."""
    job = wire.job(job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_QUEUED))
    unset = (
        job.spec,
        job.wait_reason,
        job.progress,
        job.failure,
        job.result,
        job.create_time,
        job.end_time,
        job.due_time,
    )
    assert unset == (None,) * 8


def test_a_job_is_converted_whole() -> None:
    """Every part arrives, each time in UTC."""
    message = job_pb2.Job(
        tenant="films",
        job_id="j1",
        state=job_pb2.JOB_STATE_WAITING,
        wait_reason=job_pb2.WAIT_REASON_BACKOFF,
        revision=7,
        spec=media_pb2.JobSpec(queue="fast"),
        attempt_count=1,
        generation=2,
        attempts=[
            job_pb2.Attempt(
                number=1,
                worker_id="w1",
                token=12,
                start_time=AT_NOON,
                end_time=AT_NOON,
                outcome=job_pb2.Attempt.OUTCOME_FAILED,
                failure=job_pb2.Failure(kind=job_pb2.Failure.KIND_CRASH, reason="FFMPEG_CRASHED", exit_code=-11),
                cpu_duration=Duration(seconds=3),
                peak_memory_bytes=5,
                input_size_bytes=6,
                output_size_bytes=7,
                phase_durations={
                    "ENCODING": Duration(seconds=2),
                    "FETCHING": Duration(seconds=1),
                    "NEW": Duration(seconds=4),
                },
            )
        ],
        recent_changes=[
            job_pb2.StateChange(revision=7, state=job_pb2.JOB_STATE_WAITING, time=AT_NOON, reason="ATTEMPT_FAILED")
        ],
        create_time=AT_NOON,
        due_time=AT_NOON,
    )
    job = wire.job(message)
    crash = Failure(kind=FailureKind.CRASH, reason="FFMPEG_CRASHED", message="", log_tail="", exit_code=-11)
    assert (*(job.tenant, job.job_id, job.state, job.wait_reason, job.revision, job.generation),) == (
        "films",
        "j1",
        JobState.WAITING,
        WaitReason.BACKOFF,
        7,
        2,
    )
    assert (job.spec and job.spec.queue, job.create_time, job.due_time) == ("fast", NOON, NOON)
    assert (StateChange(revision=7, state=JobState.WAITING, time=NOON, reason="ATTEMPT_FAILED"),) == job.recent_changes
    expected = Attempt(
        number=1,
        worker_id="w1",
        token=12,
        start_time=NOON,
        end_time=NOON,
        outcome=AttemptOutcome.FAILED,
        failure=crash,
        cpu_duration=timedelta(seconds=3),
        peak_memory_bytes=5,
        input_size_bytes=6,
        output_size_bytes=7,
        phases={
            Phase.FETCHING: timedelta(seconds=1),
            Phase.ENCODING: timedelta(seconds=2),
            Phase.UNKNOWN: timedelta(seconds=4),
        },
    )
    assert (expected,) == job.attempts
    assert [Phase.FETCHING, Phase.ENCODING, Phase.UNKNOWN] == list(job.attempts[0].phases)


def test_unknown_progress_is_none_and_known_zero_is_zero() -> None:
    """An absent fraction is unknown, one of 0 is not; a speed of 0 is unknown."""
    unknown = wire.progress(job_pb2.Progress())
    assert (unknown.fraction, unknown.speed, unknown.remaining, unknown.phase) == (None, None, None, Phase.UNKNOWN)
    known = wire.progress(job_pb2.Progress(fraction=0.0, speed=1.5, remaining_duration=Duration(nanos=500_000_000)))
    assert (0.0, 1.5, timedelta(seconds=0.5)) == (known.fraction, known.speed, known.remaining)


def test_media_is_converted_with_exact_frame_rates() -> None:
    """30000/1001 stays a fraction; no bitrate and no frame count are None."""
    message = media_pb2.MediaInfo(
        format="mp4",
        duration=Duration(seconds=10),
        size_bytes=1000,
        video_streams=[
            media_pb2.VideoStream(
                index=0, codec="h264", width_px=640, height_px=360, frame_rate={"numerator": 30000, "denominator": 1001}
            )
        ],
        audio_streams=[media_pb2.AudioStream(index=1, codec="aac", sample_rate_hz=48000, channel_count=2)],
    )
    video = VideoStream(
        index=0,
        codec="h264",
        width_px=640,
        height_px=360,
        frame_rate=Fraction(30000, 1001),
        pixel_format="",
        rotation_degrees=0,
        frame_count=None,
        color_transfer="",
        variable_frame_rate=False,
    )
    expected = MediaInfo(
        format="mp4",
        duration=timedelta(seconds=10),
        size_bytes=1000,
        bitrate_bps=None,
        video_streams=(video,),
        audio_streams=(AudioStream(index=1, codec="aac", sample_rate_hz=48000, channel_count=2, language=""),),
        subtitle_streams=(),
    )
    assert expected == wire.media_info(message)


def test_a_result_has_artifacts_in_order_and_read_only_maps() -> None:
    """Paths stay in the order of the spec; nobody can write into the maps."""
    result = wire.job_result(
        job_pb2.JobResult(
            artifacts=[job_pb2.Artifact(path="b.mp4"), job_pb2.Artifact(path="a.mp4")],
            measurements={"quality.ssim": 0.99},
            inputs={"source": media_pb2.MediaInfo(format="mkv")},
        )
    )
    assert (
        [artifact.path for artifact in result.artifacts],
        result.measurements["quality.ssim"],
        result.inputs["source"].format,
    ) == (["b.mp4", "a.mp4"], 0.99, "mkv")
    with pytest.raises(TypeError):
        result.measurements["x"] = 1.0  # type: ignore[index]


def test_values_are_frozen() -> None:
    """A job in hand stays what it was."""
    job = wire.job(job_pb2.Job(job_id="j1"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        job.revision = 2  # type: ignore[misc]


@pytest.mark.parametrize("copied", [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy])
def test_a_job_can_be_passed_on_and_kept_in_a_set(copied: Any) -> None:
    """To another process, say; with all it has."""
    spec = media_pb2.JobSpec(queue="fast")
    result = job_pb2.JobResult(measurements={"a": 1.5}, inputs={"a": media_pb2.MediaInfo(format="mov")})
    job = wire.job(job_pb2.Job(job_id="j1", labels={"a": "b"}, spec=spec, result=result))
    again = copied(job)
    assert (job, job.to_json(), 1) == (again, again.to_json(), len({job, again}))
    stats = wire.queue_stats(service_pb2.GetQueueStatsResponse(jobs_by_state={"queued": 3}))
    assert (stats, hash(stats)) == (copied(stats), hash(copied(stats)))


def test_a_read_only_mapping_is_one() -> None:
    """It compares with any mapping, keeps a copy, and cannot be written."""
    items = {"a": 1}
    mapping = ReadOnly(items)
    items["b"] = 2
    assert ({"a": 1}, "ReadOnly({'a': 1})", 1) == (mapping, repr(mapping), len(mapping))
    with pytest.raises(TypeError):
        mapping["a"] = 2  # type: ignore[index]


def test_a_job_as_json_is_the_message_in_one_line() -> None:
    """Proto JSON: camelCase, int64 as text."""
    text = wire.job(job_pb2.Job(job_id="j1", revision=7, cancel_reason="two\nlines")).to_json()
    assert json.loads(text) == {"jobId": "j1", "revision": "7", "cancelReason": "two\nlines"}
    assert len(text.splitlines()) == 1


def test_every_field_of_the_message_is_in_the_value() -> None:
    """A field that is added to the contract fails here until the client has it too."""
    renamed = {"remaining_duration": "remaining", "phase_durations": "phases"}
    for message, value in (
        (job_pb2.Job, wire.job(job_pb2.Job())),
        (job_pb2.Progress, wire.progress(job_pb2.Progress())),
        (job_pb2.Attempt, wire.attempt(job_pb2.Attempt())),
        (job_pb2.JobResult, wire.job_result(job_pb2.JobResult())),
    ):
        wanted = {renamed.get(field.name, field.name) for field in message.DESCRIPTOR.fields}
        assert wanted == {field.name for field in dataclasses.fields(value) if not field.name.startswith("_")}


def test_progress_can_be_made_by_hand() -> None:
    """Users' tests can build values; equal parts are equal values."""
    made = Progress(
        fraction=None,
        phase=Phase.UNKNOWN,
        media_position=None,
        media_duration=None,
        speed=None,
        frames_per_second=None,
        frame_count=0,
        output_size_bytes=None,
        remaining=None,
        update_time=None,
    )
    assert made == wire.progress(job_pb2.Progress())


def test_detections_are_converted() -> None:
    """A scene change has a score and no end; the others have an end and no score."""
    result = wire.job_result(
        job_pb2.JobResult(
            detections=[
                job_pb2.Detection(kind=job_pb2.Detection.KIND_SCENE_CHANGE, start=Duration(seconds=2), score=0.5),
                job_pb2.Detection(kind=job_pb2.Detection.KIND_BLACK, start=Duration(), end=Duration(seconds=1)),
            ]
        )
    )
    assert result.detections == (
        Detection(kind=DetectionKind.SCENE_CHANGE, start=timedelta(seconds=2), end=None, score=0.5),
        Detection(kind=DetectionKind.BLACK, start=timedelta(), end=timedelta(seconds=1), score=None),
    )


def test_warnings_are_converted() -> None:
    """One to one, whatever their reason."""
    warning = job_pb2.Warning(reason="INPUT_DAMAGED", message="3 errors", count=3, input="film")
    [found] = wire.job_result(job_pb2.JobResult(warnings=[warning])).warnings
    assert JobWarning(reason="INPUT_DAMAGED", message="3 errors", count=3, input_name="film") == found


def test_a_job_tells_its_labels_and_why_it_is_blocked() -> None:
    """Read-only, in every view."""
    job = wire.job(job_pb2.Job(job_id="j1", blocked_reason="no gpu", labels={"film": "x"}))
    assert ("no gpu", {"film": "x"}) == (job.blocked_reason, dict(job.labels))
    with pytest.raises(TypeError):
        job.labels["film"] = "y"  # type: ignore[index]
