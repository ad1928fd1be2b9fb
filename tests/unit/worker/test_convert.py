"""The worker's values as messages: every field arrives, what is unknown is absent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest

from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as pb
from telecine_worker import convert
from telecine_worker.failure import AttemptFailed, Failure, FailureKind
from telecine_worker.ffmpeg.findings import Detection, DetectionKind
from telecine_worker.ffmpeg.media_info import SubtitleStream
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Phase, Snapshot
from telecine_worker.ffmpeg.warning import MediaWarning, WarningReason
from telecine_worker.outcome import Abandoned, Artifact, Cancelled, Failed, Returned, Succeeded


@pytest.mark.parametrize("kind", FailureKind)
def test_every_kind_has_its_wire_value(kind):
    """By the same name."""
    message = convert.failure(Failure(kind=kind, reason="R", message="m", log_tail="l", exit_code=-9))
    assert f"KIND_{kind.name}" == job_pb2.Failure.Kind.Name(message.kind)
    assert ("R", "m", "l", -9) == (message.reason, message.message, message.log_tail, message.exit_code)


@pytest.mark.parametrize(("count", "reason"), [(0, None), (199, None), (300, "OUTPUT_TOO_LARGE")])
def test_a_result_that_no_scheduler_would_take_is_a_failure(count, reason):
    """Of files with long paths, for good: an outcome within the limit leaves a Hello room for leases."""
    files = [
        Artifact(path="p" * 1024, uri="u" * 9000, size_bytes=1, sha256="0" * 64, media_type="image/jpeg", media=None)
    ] * count
    ended = Succeeded(usage=Usage(), artifacts=tuple(files), inputs={})
    try:
        convert.check_size(ended)
        found = None
    except AttemptFailed as error:
        found = error.failure.reason
        assert (FailureKind.PERMANENT, True) == (error.failure.kind, "2097152 are allowed" in error.failure.message)
    assert reason == found
    message = convert.outcome(pb.LeaseRef(tenant="a", job_id="j", token=1), ended)
    assert (message.ByteSize() <= convert.MOST_OUTCOME_BYTES) == (reason is None)


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


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (Fraction(30000, 1001), (30000, 1001)),
        (Fraction(1, 3_000_000), None),  # the nearest small fraction is 0
        (Fraction(2**31, 1), None),
        (Fraction(10**12 + 1, 10**12), (1, 1)),
    ],
)
def test_a_frame_rate_that_does_not_fit_is_unknown(film, rate, expected):
    """The contract wants both terms positive and below 2^31; a message that breaks it would be refused for ever."""
    message = convert.media_info(replace(film, video=(replace(film.video[0], frame_rate=rate),)))
    video = message.video_streams[0]
    found = (video.frame_rate.numerator, video.frame_rate.denominator) if video.HasField("frame_rate") else None
    assert expected == found


def test_numbers_beyond_the_fields_are_cut_to_them(film):
    """A sample aspect ratio of 2000000:1 makes pictures billions wide; what a file says is never an exception."""
    huge = 10**30
    video = replace(film.video[0], width_px=3_840_000_000, height_px=huge, frame_count=huge)
    audio = replace(film.audio[0], sample_rate_hz=huge, channel_count=huge, language="x" * 10_000_000)
    subtitle = SubtitleStream(index=huge, codec="srt", language="y" * 10_000_000)
    info = replace(film, video=(video,), audio=(audio,), subtitles=(subtitle,), size_bytes=huge, bitrate_bps=huge)
    message = convert.media_info(info)
    seen = message.video_streams[0]
    assert [2**31 - 1, 2**31 - 1, 2**63 - 1] == [seen.width_px, seen.height_px, seen.frame_count]
    assert 2**31 - 1 == message.audio_streams[0].sample_rate_hz == message.subtitle_streams[0].index
    assert 2**63 - 1 == message.size_bytes == message.bitrate_bps
    assert message.ByteSize() < 1000


def test_numbers_of_progress_are_cut_to_the_fields():
    """FFmpeg has been seen to report anything."""
    message = convert.progress(Snapshot(phase=Phase.ENCODING, frame_count=10**30, output_size_bytes=10**30))
    assert 2**63 - 1 == message.frame_count == message.output_size_bytes


@pytest.mark.parametrize(
    ("ended", "kind"),
    [
        (Succeeded(usage=Usage(), artifacts=(), inputs={}), "succeeded"),
        (Failed(usage=Usage(), failure=Failure(kind=FailureKind.CRASH, reason="R", message="m")), "failed"),
        (Returned(usage=Usage(), reason="DRAINING"), "returned"),
        (Cancelled(usage=Usage()), "cancelled"),
    ],
)
def test_every_end_is_an_outcome(ended, kind):
    """With the lease and the cost; but of a lost lease nothing is said."""
    usage = Usage(cpu=timedelta(seconds=1.5), peak_memory_bytes=7)
    ref = pb.LeaseRef(tenant="a", job_id="j", token=3)
    message = convert.outcome(ref, replace(ended, usage=usage))
    assert (ref, kind, 7) == (message.lease, message.WhichOneof("kind"), message.peak_memory_bytes)
    assert timedelta(seconds=1.5) == message.cpu_duration.ToTimedelta()
    assert convert.outcome(ref, Abandoned(usage=usage)) is None


def test_what_an_attempt_cost_is_told():
    """Bytes as far as a message holds them, and the time of each phase by the contract's name; also of one given back."""
    phases = {Phase.FETCHING: timedelta(seconds=1), Phase.ENCODING: timedelta(milliseconds=1500)}
    ended = Failed(
        usage=Usage(), failure=Failure(kind=FailureKind.CRASH, reason="R", message="m"),
        input_size_bytes=2**70, output_size_bytes=9, phases=phases,
    )  # fmt: skip
    message = convert.outcome(pb.LeaseRef(), ended)
    assert (2**63 - 1, 9) == (message.input_size_bytes, message.output_size_bytes)
    assert {"FETCHING": 1.0, "ENCODING": 1.5} == {
        name: spent.ToTimedelta().total_seconds() for name, spent in message.phase_durations.items()
    }
    back = ended.given_back("UNHEALTHY")
    assert (phases, 2**70, 0) == (back.phases, back.input_size_bytes, back.output_size_bytes)


def test_warnings_are_told():
    """One to one, at most a hundred."""
    warning = MediaWarning(reason=WarningReason.INPUT_DAMAGED, message="3 errors", count=3, input_name="film")
    message = convert.result(Succeeded(usage=Usage(), artifacts=(), inputs={}, warnings=(warning,) * 101))
    assert 100 == len(message.warnings)
    assert job_pb2.Warning(reason="INPUT_DAMAGED", message="3 errors", count=3, input="film") == message.warnings[0]


def test_detections_and_measurements_are_told() -> None:
    """Each with its kind; only parts have an end, only changes of scene a score."""
    cut = Detection(kind=DetectionKind.SCENE_CHANGE, start=timedelta(seconds=1.5), score=0.4)
    parts = [
        Detection(kind=kind, start=timedelta(0), end=timedelta(seconds=2))
        for kind in (DetectionKind.BLACK, DetectionKind.SILENCE)
    ]
    ended = Succeeded(usage=Usage(), artifacts=(), inputs={}, measurements={"x.count": 3.0}, detections=(*parts, cut))
    message = convert.result(ended)
    kinds = [job_pb2.Detection.KIND_BLACK, job_pb2.Detection.KIND_SILENCE, job_pb2.Detection.KIND_SCENE_CHANGE]
    assert (kinds, {"x.count": 3.0}) == ([each.kind for each in message.detections], dict(message.measurements))
    assert [True, True, False] == [each.HasField("end") for each in message.detections]
    told = message.detections[2]
    assert (timedelta(seconds=1.5), pytest.approx(0.4)) == (told.start.ToTimedelta(), told.score)
