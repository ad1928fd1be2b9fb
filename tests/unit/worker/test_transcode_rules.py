"""Any valid transcode of any sources makes command lines that keep the rules, or a clear refusal."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Any

import protovalidate
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from support import argv_rules
from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg.hardware import FAMILY_OF
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, SubtitleStream, VideoStream
from telecine_worker.ffmpeg.options import AUDIO_ENCODERS, VIDEO_ENCODERS
from telecine_worker.tasks import transcode

VALIDATOR = protovalidate.Validator()
WORKING = (*VIDEO_ENCODERS, *AUDIO_ENCODERS, *FAMILY_OF)
PATHS = (
    "a.mp4",
    "b/c.mkv",
    "-y.webm",
    "%d.ts",
    "a|b.mov",
    "concat:x.m4a",
    "x.flac",
    "y.opus",
    "http:/z.mp3",
    "w.wav",
    "v.ogg",
)
SIDES = st.sampled_from([0, 2, 3, 64, 361, 720, 1080, 8192])
PARTS = st.sampled_from([0.0, 1e-9, 0.25, 0.999999, 1.0])
TIMES = st.sampled_from(["0s", "0.000001s", "1s", "1.999999s", "4.2s", "600s"])


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A message with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


RATIOS = st.sampled_from([(1, 1), (25, 1), (30000, 1001), (240, 1), (1000, 4)]).map(
    lambda pair: {"numerator": pair[0], "denominator": pair[1]}
)
VIDEOS = st.fixed_dictionaries(
    {"codec": st.sampled_from(["h264", "h265", "vp9", "av1", "copy"])},
    optional={
        "widthPx": SIDES, "heightPx": SIDES, "allowUpscale": st.booleans(), "frameRate": RATIOS,
        "maxBitrateBps": st.integers(1000, 10**7), "preset": st.sampled_from(["medium", "ultrafast", "8", "0", "13", "odd"]),
        "profile": st.sampled_from(["main", "high", "0", "main10", "odd"]),
        "pixelFormat": st.sampled_from(["yuv420p", "yuv420p10le", "yuv444p", "odd"]),
        "gopDuration": st.sampled_from(["0.001s", "2s", "60s"]), "toneMapToSdr": st.booleans(),
        "hardware": st.sampled_from([0, 1, 2]),
    },
).flatmap(
    lambda video: st.sampled_from(
        [video, {**video, "crf": 51}, {**video, "bitrateBps": 2 * 10**7, "twoPass": True}, {**video, "bitrateBps": 50000}]
    )
)  # fmt: skip
LOUDNESS = maybe(
    integratedLufs=st.sampled_from([-70.0, -16.123456, -5.0]), truePeakDbtp=st.sampled_from([-9.0, 0.0]),
    rangeLu=st.sampled_from([1.0, 50.0]),
)  # fmt: skip
AUDIOS = st.fixed_dictionaries(
    {"codec": st.sampled_from(["aac", "opus", "mp3", "flac", "ac3", "pcm_s16le", "copy"])},
    optional={
        "channelCount": st.integers(0, 8),
        "loudness": LOUDNESS,
        "sampleRateHz": st.sampled_from([0, 8000, 44100]),
    },
)
FILTERS = maybe(
    deinterlace=st.booleans(),
    crop=st.fixed_dictionaries(
        {"widthPx": st.sampled_from([1, 3, 64, 9000]), "heightPx": st.sampled_from([1, 33, 64])},
        optional={"leftPx": st.sampled_from([0, 1, 500]), "topPx": st.sampled_from([0, 7])},
    ),
    watermark=st.fixed_dictionaries({"input": st.just("logo")}, optional={"x": PARTS, "y": PARTS, "opacity": PARTS,
                                                                         "width": st.sampled_from([1e-9, 0.1, 1.0])}),
    burnSubtitles=st.just("words"),
)  # fmt: skip
TRIMS = maybe(start=TIMES, end=TIMES)
TASKS = st.fixed_dictionaries(
    {"input": st.just("main"), "path": st.sampled_from(PATHS)},
    optional={"video": VIDEOS, "audio": AUDIOS, "trim": TRIMS, "filters": FILTERS},
)


def durations() -> st.SearchStrategy[timedelta | None]:
    """Also none."""
    return st.sampled_from([None, timedelta(microseconds=1), timedelta(seconds=5), timedelta(hours=40)])


def video_streams() -> st.SearchStrategy[VideoStream]:
    """Of any shape, with what a file may say of itself in words that nobody knows."""
    return st.builds(
        VideoStream, index=st.integers(0, 63), codec=st.sampled_from(["h264", "rawvideo", "../x"]),
        width_px=st.sampled_from([0, 1, 321, 1920, 8192]), height_px=st.sampled_from([0, 1, 241, 1080, 8192]),
        coded_width_px=st.just(321), coded_height_px=st.just(241),
        frame_rate=st.sampled_from([None, Fraction(25), Fraction(30000, 1001), Fraction(1, 10**6), Fraction(1000)]),
        variable_frame_rate=st.booleans(), frame_count=st.sampled_from([0, 1, 125]), duration=durations(),
        color_transfer=st.sampled_from(["", "bt709", "smpte2084", "arib-std-b67", "/etc/passwd"]),
        color_space=st.sampled_from(["", "bt709", "bt2020nc", "gbr", "x:y=/z"]),
        pixel_format=st.sampled_from(["", "yuv420p", "rgb24", "'];x"]), field_order=st.sampled_from(["", "tb", "progressive"]),
        rotation_degrees=st.sampled_from([0, 0, 90]),
        color_primaries=st.sampled_from(["", "bt2020", "'];movie=/x"]),
    )  # fmt: skip


def audio_streams() -> st.SearchStrategy[AudioStream]:
    """Also impossible ones."""
    return st.builds(
        AudioStream, index=st.integers(0, 63), codec=st.sampled_from(["aac", "pcm_s16le", "dts"]), duration=durations(),
        sample_rate_hz=st.sampled_from([0, 8000, 44100, 192000]), channel_count=st.integers(0, 64),
        language=st.sampled_from(["", "deu", "de", "x\n-i", "/etc"]),
    )  # fmt: skip


INFOS = st.builds(
    MediaInfo, format=st.sampled_from(["mov,mp4,m4a,3gp,3g2,mj2", "png_pipe", "srt", "matroska,webm"]),
    size_bytes=st.sampled_from([1, 10**8]), duration=durations(),
    video=st.lists(video_streams(), max_size=2).map(tuple), audio=st.lists(audio_streams(), max_size=2).map(tuple),
    subtitles=st.sampled_from([(), (SubtitleStream(index=0, codec="subrip"),)]),
)  # fmt: skip


@settings(max_examples=200)
@given(
    fields=TASKS, infos=st.fixed_dictionaries({"main": INFOS, "logo": INFOS, "words": INFOS}),
    encoders=st.sampled_from([frozenset(), frozenset(WORKING), frozenset(WORKING) - {"libx264"}]),
)  # fmt: skip
def test_no_plan_breaks_the_rules_of_arguments(fields, infos, encoders):
    """Whatever the spec and the sources: the plan keeps the rules, and what it expects can be; or the refusal says why."""
    task = json_format.ParseDict(fields, media_pb2.TranscodeTask())
    if VALIDATOR.collect_violations(task):
        return
    used = transcode.input_names(task)
    try:
        made = transcode.plan(task, {name: infos[name] for name in used}, encoders)
    except AttemptFailed as error:
        assert error.failure.kind in (FailureKind.PERMANENT, FailureKind.RETRYABLE)
        assert len(error.failure.message) > 10
        return
    argv_rules.check_plan(made, foreign=(task.path,))
    assert len([step for step in made.steps if step.weight > 0.01]) <= 3
    for step in argv_rules.steps_of(made):
        if "-vf" in step.argv or "-filter_complex" in step.argv:
            assert "-fps_mode" in step.argv
    video = made.artifacts[0].video
    if video is not None and video.width_px and video.height_px:
        assert (0, 0) == (video.width_px % 2, video.height_px % 2)
        assert video.width_px <= max(8192, infos["main"].video[0].width_px + 1)
    duration = made.artifacts[0].duration
    assert duration is None or duration > timedelta(0)
