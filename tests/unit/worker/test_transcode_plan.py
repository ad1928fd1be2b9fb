"""TranscodeTask to arguments and expectations, without touching anything."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import json_format

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.options import AUDIO_ENCODERS, VIDEO_ENCODERS
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.tasks import transcode
from telecine_worker.tasks.plan import Plan

ENCODERS = frozenset({*VIDEO_ENCODERS, *AUDIO_ENCODERS})

TASKS: dict[str, dict[str, Any]] = {
    "h264_360p": {"path": "a.mp4", "video": {"codec": "h264", "heightPx": 360}, "audio": {"codec": "aac"}},
    "h264_all": {
        "path": "a.mov",
        "video": {
            "codec": "h264",
            "widthPx": 640,
            "crf": 20,
            "maxBitrateBps": "2000000",
            "preset": "slow",
            "profile": "high10",
            "pixelFormat": "yuv420p10le",
            "gopDuration": "2s",
            "frameRate": {"numerator": 30000, "denominator": 1001},
        },
        "audio": {"codec": "aac", "bitrateBps": "96000", "sampleRateHz": 44100, "channelCount": 1},
        "trim": {"start": "1.5s", "end": "4s"},
    },
    "h264_two_pass": {
        "path": "a.mkv",
        "video": {"codec": "h264", "bitrateBps": "1500000", "twoPass": True},
        "audio": {"codec": "flac"},
    },
    "h265_two_pass": {"path": "a.mp4", "video": {"codec": "h265", "bitrateBps": "900000", "twoPass": True}},
    "h265": {"path": "a.ts", "video": {"codec": "h265"}, "audio": {"codec": "ac3"}},
    "vp9": {"path": "a.webm", "video": {"codec": "vp9"}, "audio": {"codec": "opus"}},
    "vp9_capped": {"path": "a.webm", "video": {"codec": "vp9", "crf": 30, "maxBitrateBps": "1000000"}},
    "vp9_two_pass": {"path": "a.webm", "video": {"codec": "vp9", "bitrateBps": "500000", "twoPass": True}},
    "av1": {"path": "a.mkv", "video": {"codec": "av1"}, "audio": {"codec": "pcm_s16le"}},
    "copy": {"path": "a.mkv", "video": {"codec": "copy"}, "audio": {"codec": "copy"}},
    "copy_trimmed": {"path": "a.mkv", "video": {"codec": "copy"}, "trim": {"start": "1s"}},
    "mp3": {"path": "a.mp3", "audio": {"codec": "mp3"}},
}


def task(**fields: Any) -> media_pb2.TranscodeTask:
    """A TranscodeTask from the JSON names of its fields."""
    return json_format.ParseDict({"input": "main", "path": "a.mp4", **fields}, media_pb2.TranscodeTask())


def plan(info: MediaInfo, **fields: Any) -> Plan:
    """The plan for a task with all encoders there."""
    return transcode.plan(task(**fields), {"main": info}, ENCODERS)


@pytest.mark.parametrize("name", TASKS)
def test_golden_arguments(name, film, golden):
    """Each task makes exactly these arguments, one file for each pass."""
    steps = plan(film, **TASKS[name]).steps
    for number, step in enumerate(steps, 1):
        golden(name if len(steps) == 1 else f"{name}.{number}", step)


def test_expectations_are_made_with_the_arguments(film):
    """What will be checked: size, codec, frames, duration, moov first."""
    expected = plan(film, **TASKS["h264_360p"]).artifacts[0]
    assert ("a.mp4", "out-0.mp4", "video/mp4") == (expected.path, expected.file_name, expected.media_type)
    video, audio = expected.video, expected.audio
    assert video is not None
    assert audio is not None
    assert ("h264", 640, 360, 300) == (video.codec, video.width_px, video.height_px, video.frame_count)
    assert ("aac", 48000, 2) == (audio.codec, audio.sample_rate_hz, audio.channel_count)
    assert (timedelta(seconds=10.01), True) == (expected.duration, expected.moov_first)


def test_a_trim_changes_what_is_expected(film):
    """2.5 seconds at 30000/1001 are 75 frames; progress counts to them."""
    made = plan(film, **TASKS["h264_all"])
    video = made.artifacts[0].video
    assert video is not None
    assert (timedelta(seconds=2.5), 75) == (made.artifacts[0].duration, video.frame_count)
    assert (timedelta(seconds=2.5), 75) == (made.steps[0].duration, made.steps[0].frame_count)


def test_a_trim_beyond_the_end_is_to_the_end(film):
    """No limit is given to FFmpeg, and the duration is that of what is there."""
    made = plan(film, video={"codec": "h264"}, trim={"start": "4s", "end": "60s"})
    assert "-t" not in made.steps[0].argv
    assert timedelta(seconds=6.01) == made.steps[0].duration


def test_two_passes_have_their_weights(film):
    """The first pass of x264 medium weighs 0.42 of the second, of slow 0.32; it is the phase ANALYZING."""
    medium = plan(film, **TASKS["h264_two_pass"]).steps
    slow = plan(film, path="a.mp4", video={**TASKS["h264_two_pass"]["video"], "preset": "slow"}).steps
    assert [(Phase.ANALYZING, 0.42), (Phase.ENCODING, 1.0)] == [(step.phase, step.weight) for step in medium]
    assert 0.32 == slow[0].weight


def test_an_unknown_duration_stays_unknown(film):
    """Neither steps nor expectations invent one."""
    raw = replace(film, duration=None, video=(replace(film.video[0], duration=None, frame_count=0),), audio=())
    made = plan(raw, video={"codec": "h264"})
    assert (None, None, None) == (made.steps[0].duration, made.steps[0].frame_count, made.artifacts[0].duration)


@pytest.mark.parametrize(
    ("fields", "reason", "said"),
    [
        ({"path": "a.xyz", "video": {"codec": "h264"}}, "UNSUPPORTED_CONTAINER", "mp4, mov, mkv"),
        ({"path": "mp4x", "video": {"codec": "h264"}}, "UNSUPPORTED_CONTAINER", "extension"),
        ({"path": "a.webm", "video": {"codec": "h264"}}, "CODEC_NOT_IN_CONTAINER", "av1, vp8, vp9"),
        ({"path": "a.webm", "audio": {"codec": "aac"}}, "CODEC_NOT_IN_CONTAINER", "opus"),
        ({"path": "a.mp3", "video": {"codec": "h264"}}, "CODEC_NOT_IN_CONTAINER", "no video"),
        ({"path": "a.mp4", "audio": {"codec": "pcm_s16le"}}, "CODEC_NOT_IN_CONTAINER", "mov, mkv, wav"),
        ({"path": "a.webm", "video": {"codec": "copy"}}, "CODEC_NOT_IN_CONTAINER", "h264"),
        ({"video": {"codec": "h264", "crf": 52}}, "OPTION_INVALID", "video.crf 52"),
        ({"video": {"codec": "h264", "preset": "8"}}, "OPTION_INVALID", "video.preset '8'"),
        ({"video": {"codec": "av1", "preset": "fast"}}, "OPTION_INVALID", "video.preset"),
        ({"video": {"codec": "h264", "profile": "main10"}}, "OPTION_INVALID", "video.profile"),
        ({"video": {"codec": "av1", "pixelFormat": "yuv444p"}}, "OPTION_INVALID", "video.pixel_format"),
        ({"video": {"codec": "mpeg4"}}, "OPTION_INVALID", "video.codec"),
        ({"video": {"codec": "h264", "twoPass": True}}, "OPTION_INVALID", "two_pass needs"),
        ({"video": {"codec": "av1", "bitrateBps": "1000", "twoPass": True}}, "UNSUPPORTED_OPTION", "two_pass"),
        ({"video": {"codec": "av1", "bitrateBps": "5000", "maxBitrateBps": "9000"}}, "UNSUPPORTED_OPTION", "use crf"),
        ({"video": {"codec": "h264", "bitrateBps": "5000", "maxBitrateBps": "1000"}}, "OPTION_INVALID", "below"),
        ({"video": {"codec": "h264", "frameRate": {"numerator": 241, "denominator": 1}}}, "OPTION_INVALID", "240"),
        ({"video": {"codec": "copy"}, "filters": {"deinterlace": True}}, "OPTION_INVALID", "filters"),
        ({"audio": {"codec": "aac"}, "filters": {"deinterlace": True}}, "OPTION_INVALID", "filters"),
        ({"path": "a.mkv", "audio": {"codec": "copy", "loudness": {}}}, "OPTION_INVALID", "audio.loudness"),
        ({"path": "a.mp3", "audio": {"codec": "mp3", "channelCount": 6}}, "OPTION_INVALID", "at most 2"),
        ({"audio": {"codec": "opus", "sampleRateHz": 44100}}, "OPTION_INVALID", "48000"),
        ({"audio": {"codec": "aac", "bitrateBps": "900000"}}, "OPTION_INVALID", "at most 512000"),
        ({"path": "a.flac", "audio": {"codec": "flac", "bitrateBps": "1000"}}, "OPTION_INVALID", "lossless"),
        ({}, "OPTION_INVALID", "video, audio or both"),
        ({"audio": {"codec": "wma"}}, "OPTION_INVALID", "audio.codec"),
        ({"video": {"codec": "h264"}, "trim": {"start": "11s"}}, "TRIM_OUT_OF_RANGE", "0:00:10.01"),
        ({"video": {"codec": "h264"}, "trim": {"start": "2s", "end": "1s"}}, "TRIM_OUT_OF_RANGE", "not after"),
    ],
)
def test_what_cannot_work_is_refused_with_what_would(film, fields, reason, said):
    """For good, by field, before anything runs."""
    with pytest.raises(AttemptFailed) as error:
        plan(film, **fields)
    failure = error.value.failure
    assert (FailureKind.PERMANENT, reason) == (failure.kind, failure.reason)
    assert said in failure.message


def test_a_missing_encoder_is_named(film):
    """Before FFmpeg is started."""
    with pytest.raises(AttemptFailed, match="ENCODER_MISSING.*libx264"):  # noqa: RUF043 - a pattern
        transcode.plan(task(video={"codec": "h264"}), {"main": film}, frozenset())


def test_missing_streams(film):
    """Video that is not there is a failure; sound is left out where there is video."""
    with pytest.raises(AttemptFailed, match="INPUT_MISSING_STREAM"):
        plan(replace(film, video=()), video={"codec": "h264"})
    with pytest.raises(AttemptFailed, match="INPUT_MISSING_STREAM"):
        plan(replace(film, audio=()), path="a.m4a", audio={"codec": "aac"})
    assert plan(replace(film, audio=()), video={"codec": "h264"}, audio={"codec": "aac"}).artifacts[0].audio is None
