"""What can be seen of a task before a worker has it, kind by kind: names of inputs, extensions, what has to fit together."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict

from telecine.v1 import media_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.domain.errors import Violation
from telecine_scheduler.rpc import field_rules, packaging_rules, stream_rules, task_rules, validation
from telecine_scheduler.rpc.validation import Validation
from telecine_worker.ffmpeg import expected_package, values
from telecine_worker.tasks import (
    audio_encoding,
    containers,
    hardware_encoding,
    key_frames,
    kinds,
    package_rules,
    picture_files,
    preview_files,
    sprites,
    video_encoding,
)

VALIDATION = Validation()
H264 = {"codec": "h264"}
TASKS: dict[str, dict[str, Any]] = {
    "audio": {"input": "in", "path": "a.m4a", "audio": {"codec": "aac"}},
    "concat": {"clips": [{"input": "in"}, {"input": "in"}], "path": "a.mp4"},
    "packaging": {"input": "in", "directory": "hls"},
    "preview": {"input": "in", "path": "a.gif"},
    "quality": {"reference": "in", "distorted": "copy", "metrics": ["ssim"]},
    "sprites": {"input": "in", "path": "s/%03d.jpg", "index_path": "s/index.vtt"},
    "transcode": {"input": "in", "path": "a.mp4", "video": H264},
}


def violations(kind: str, *inputs: str, **fields: Any) -> dict[str, str]:
    """What is wrong with the task of TASKS, with some fields set otherwise, by field of the task."""
    found = violations_of(kind, *inputs, **fields)
    return {each.field.removeprefix(f"spec.task.{kind}."): each.description for each in found}


def violations_of(kind: str, *inputs: str, **fields: Any) -> list[Violation]:
    names = inputs or (("in", "copy") if kind == "quality" else ("in",))
    spec = media_pb2.JobSpec(inputs={name: media_pb2.Input(uri="file:///in") for name in names})
    ParseDict({kind: TASKS[kind] | fields}, spec.task)
    if kind not in task_rules.FILELESS:
        spec.output.uri = "file:///out"
    return VALIDATION.submission_violations(pb.SubmitJobRequest(spec=spec))


@pytest.mark.parametrize("kind", TASKS)
def test_every_kind_is_taken_as_it_should_be(kind: str) -> None:
    """And an input that is not there, or is not used, is told."""
    assert {} == violations(kind)
    assert {'spec.inputs["more"]'} == violations(kind, *("in", "copy")[: 1 + (kind == "quality")], "more").keys()
    assert "spec.inputs" in violations(kind, "other")


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        ("audio", {"path": "a.jpg"}, "path"),
        ("audio", {"waveform_path": "a.jpg"}, "waveform_path"),
        ("audio", {"waveform_width_px": 100}, "waveform_width_px"),
        ("audio", {"input": "file:///in"}, "input"),
        ("concat", {"path": "a.gif"}, "path"),
        ("concat", {"clips": [{"input": "in"}, {"input": "-"}]}, "clips[1].input"),
        ("concat", {"video": H264 | {"frame_rate": {"numerator": 241, "denominator": 1}}}, "video.frame_rate"),
        ("preview", {"path": "a.mkv"}, "path"),
        ("preview", {"duration": "61s"}, "duration"),
        ("quality", {"distorted": "in"}, "distorted"),
        ("quality", {"metrics": ["ssim", "ssim"]}, "metrics"),
        ("sprites", {"path": "s.jpg"}, "path"),
        ("sprites", {"path": "%d.gif"}, "path"),
        ("sprites", {"index_path": "a.txt"}, "index_path"),
        ("transcode", {"video": H264 | {"frame_rate": {"numerator": 1000, "denominator": 4}}}, "video.frame_rate"),
        ("transcode", {"video": {"codec": "copy"}, "filters": {"deinterlace": True}}, "filters"),
        ("transcode", {"filters": {"watermark": {"input": "/etc/passwd"}}}, "filters.watermark.input"),
        ("transcode", {"filters": {"burn_subtitles": "a/b"}}, "filters.burn_subtitles"),
        ("concat", {"audio": {"codec": "copy"}}, "audio.codec"),
        ("concat", {"video": {"codec": "copy"}}, "video.codec"),
        ("concat", {"video": H264 | {"hardware": "HARDWARE_PREFERRED"}}, "video.hardware"),
        ("concat", {"video": H264 | {"hardware": "HARDWARE_REQUIRED"}}, "video.hardware"),
        ("concat", {"clips": [{"input": "in"}, {"input": "in", "trim": {"start": "1s"}}]}, "clips[1].trim"),
        ("packaging", {"audio": {"codec": "copy"}}, "audio.codec"),
        ("packaging", {"audio": {"codec": "mp3"}}, "audio.codec"),
        ("packaging", {"segment_duration": "62s"}, "segment_duration"),
        *(
            ("packaging", {"renditions": [{"name": "a", "video": H264 | video}]}, f"renditions[0].video.{name}")
            for name, video in (
                ("two_pass", {"two_pass": True, "bitrate_bps": 100_000}),
                ("gop_duration", {"gop_duration": "2s"}),
                ("hardware", {"hardware": "HARDWARE_PREFERRED"}),
                ("pixel_format", {"pixel_format": "yuv444p"}),
            )
        ),
        *(
            ("transcode", {"path": path, "video": {"codec": codec}}, wrong)
            for path, codec, wrong in (
                ("a.webm", "h264", "video.codec"),
                ("a.TS", "av1", "video.codec"),
                ("a.mov", "vp9", "video.codec"),
                ("a.wav", "h264", "video"),
                ("a.mp3", "copy", "video"),
            )
        ),
        ("transcode", {"path": "a.webm", "video": {"codec": "vp9"}, "audio": {"codec": "aac"}}, "audio.codec"),
        ("concat", {"path": "a.webm", "video": H264}, "video.codec"),
        ("concat", {"path": "a.ts", "audio": {"codec": "opus"}}, "audio.codec"),
        ("audio", {"path": "a.mp3"}, "audio.codec"),
        *(
            (
                "transcode",
                {"path": "a.mkv", "video": {"codec": codec, field: value, "bitrate_bps": 100_000}},
                f"video.{field}",
            )
            for codec, field, value in (
                ("h264", "preset", "8"),
                ("av1", "preset", "medium"),
                ("av1", "preset", "14"),
                ("vp9", "preset", "9"),
                ("h264", "profile", "main10"),
                ("h265", "profile", "high"),
                ("vp9", "profile", "3"),
                ("av1", "pixel_format", "yuv444p"),
                ("h264", "pixel_format", "rgb24"),
                ("av1", "two_pass", True),
                ("av1", "max_bitrate_bps", 100_000),
                ("h264", "max_bitrate_bps", 99_999),
            )
        ),
        *(
            (
                "transcode",
                {"path": "a.mkv", "video": {"codec": codec, "profile": profile, "pixel_format": pixels}},
                field,
            )
            for codec, profile, pixels, field in (
                ("h264", "high", "yuv420p10le", "video.profile"),
                ("h265", "main10", "yuv422p10le", "video.profile"),
                ("vp9", "1", "yuv420p", "video.profile"),
            )
        ),
        ("concat", {"video": H264 | {"preset": "8"}}, "video.preset"),
        ("packaging", {"renditions": [{"name": "a", "video": H264 | {"preset": "8"}}]}, "renditions[0].video.preset"),
        *(
            ("transcode", {"path": "a.mp4", "video": video | {"hardware": "HARDWARE_REQUIRED"}}, f"video.{field}")
            for video, field in (
                (H264 | {"two_pass": True, "bitrate_bps": 100_000}, "two_pass"),
                (H264 | {"pixel_format": "yuv420p10le"}, "pixel_format"),
                ({"codec": "vp9", "pixel_format": "yuv420p10le"}, "pixel_format"),
                (H264 | {"profile": "baseline"}, "profile"),
            )
        ),
        *(
            (kind, fields | {"audio": audio}, f"audio.{field}")
            for kind, fields in (
                ("transcode", {"path": "a.mkv"}),
                ("concat", {"path": "a.mkv"}),
                ("audio", {"path": "a.mkv"}),
                ("packaging", {}),
            )
            for audio, field in (
                ({"codec": "opus", "sample_rate_hz": 44_100}, "sample_rate_hz"),
                ({"codec": "ac3", "channel_count": 7}, "channel_count"),
                ({"codec": "aac", "channel_count": 1, "bitrate_bps": 256_001}, "bitrate_bps"),
                ({"codec": "ac3", "bitrate_bps": 640_001}, "bitrate_bps"),
            )
        ),
        ("audio", {"path": "a.mp3", "audio": {"codec": "mp3", "channel_count": 3}}, "audio.channel_count"),
        ("preview", {"frame_rate": {"numerator": 51, "denominator": 1}}, "frame_rate"),
        ("preview", {"path": "a.mp4", "frame_rate": {"numerator": 61, "denominator": 1}}, "frame_rate"),
        ("sprites", {"columns": 20, "tile_width_px": 410}, "columns"),
        ("sprites", {"interval": "0.0009s"}, "interval"),
        ("quality", {"metrics": ["ssim", "psnr", "vmaf", "ssim"]}, "metrics"),
        ("packaging", {"formats": ["FORMAT_HLS", "FORMAT_DASH", "FORMAT_HLS"]}, "formats"),
        ("packaging", {"segment_duration": "5s"}, "segment_duration"),
        ("packaging", {"gop_duration": "4s"}, "gop_duration"),
        ("packaging", {"segment_duration": "1s", "gop_duration": "2s"}, "segment_duration"),
        ("packaging", {"formats": ["FORMAT_HLS", "FORMAT_HLS"]}, "formats[0]"),
        ("packaging", {"formats": ["FORMAT_UNSPECIFIED"]}, "formats[0]"),
        ("packaging", {"renditions": [{"name": "a", "video": {"codec": "copy"}}]}, "renditions[0].video.codec"),
        ("packaging", {"renditions": [{"name": "Master", "video": H264}]}, "renditions[0].name"),
        ("packaging", {"renditions": [{"name": n, "video": H264} for n in "aA"]}, "renditions[1].name"),
    ],
)
def test_what_does_not_fit_is_told_by_its_field(kind: str, fields: dict[str, Any], wrong: str) -> None:
    """Before any worker looks at it."""
    assert wrong in violations(kind, **fields)


def test_what_fits_is_taken() -> None:
    """At the bounds: exact multiples, the largest frame rate, pictures and subtitles among the inputs."""
    assert {} == violations("packaging", segment_duration="4.004s", gop_duration="1.001s")
    assert {} == violations("transcode", video=H264 | {"frame_rate": {"numerator": 240_000, "denominator": 1001}})
    filters = {"watermark": {"input": "logo"}, "burn_subtitles": "text"}
    for kind in ("transcode", "packaging"):
        assert {} == violations(kind, "in", "logo", "text", filters=filters)
    assert {} == violations("audio", waveform_path="a.PNG", waveform_width_px=100)
    assert "2 s" in violations("packaging", segment_duration="5s")["segment_duration"]
    hardware = H264 | {"hardware": "HARDWARE_PREFERRED", "two_pass": True, "bitrate_bps": 100_000}
    assert {} == violations("transcode", video=hardware)
    encoded = {"path": "a.webm", "video": {"codec": "av1", "crf": 40, "max_bitrate_bps": 1000, "preset": "13"}}
    assert {} == violations(
        "transcode", **encoded, audio={"codec": "opus", "channel_count": 8, "bitrate_bps": 2_000_000}
    )
    assert {} == violations("concat", clips=[{"input": "in", "trim": {"start": "1s"}}], video=H264)
    assert {} == violations("preview", frame_rate={"numerator": 50, "denominator": 1})
    assert {} == violations("sprites", columns=13, tile_width_px=631, interval="0.001s")


def test_no_more_is_told_than_anybody_mends() -> None:
    """A spec has room for more mistakes than an answer has."""
    clips = [{"input": "-"}] * 1000
    assert validation.MOST_VIOLATIONS == len(violations_of("concat", "in", clips=clips))


def test_durations_that_are_none_break_no_rule_with_themselves() -> None:
    """A gop_duration below zero is told by the rule of its own field alone."""
    spec = media_pb2.PackagingTask(input="in", directory="hls", gop_duration=Duration(seconds=-4))
    assert [] == list(task_rules.packaging_violations(spec))


def test_both_sides_have_the_same_rules() -> None:
    """The scheduler must not import the worker, so this holds their tables together."""
    assert kinds.FILELESS == task_rules.FILELESS
    assert containers.CONTAINERS.keys() == field_rules.CONTAINERS
    assert picture_files.PICTURE_FILES.keys() == field_rules.PICTURES
    assert {name: file.most_rate for name, file in preview_files.PREVIEW_FILES.items()} == field_rules.PREVIEWS
    assert video_encoding.MAX_RATE == field_rules.MOST_FRAMES_A_SECOND
    assert {*package_rules.SOUND_CODECS} == {*packaging_rules.SOUND_CODECS}
    assert package_rules.PIXEL_FORMATS == packaging_rules.PIXEL_FORMATS
    assert expected_package.RESERVED_NAMES == packaging_rules.RESERVED_NAMES
    assert (key_frames.DEFAULT_GOP_SECONDS, key_frames.DEFAULT_SEGMENT_SECONDS, key_frames.MOST_SEGMENT_SECONDS) == (
        packaging_rules.DEFAULT_GOP_SECONDS,
        packaging_rules.DEFAULT_SEGMENT_SECONDS,
        packaging_rules.MOST_SEGMENT_SECONDS,
    )


def test_both_sides_encode_the_same() -> None:
    """What containers hold, and what encoders take, as the worker's planners have it."""
    assert {
        name: {codec for codec, each in video_encoding.CODECS.items() if each.codec in container.video}
        for name, container in containers.CONTAINERS.items()
    } == stream_rules.VIDEO_OF
    assert {
        name: {codec for codec, each in audio_encoding.CODECS.items() if each.codec in container.audio}
        for name, container in containers.CONTAINERS.items()
    } == stream_rules.AUDIO_OF
    assert {
        name: (
            tuple(codec.presets), codec.profiles, tuple(codec.pixel_formats),
            hardware_encoding.PROFILES[name], hardware_encoding.PIXEL_FORMATS[name],
        )
        for name, codec in video_encoding.CODECS.items()
    } == {name: dataclasses.astuple(rules) for name, rules in stream_rules.VIDEO.items()}  # fmt: skip
    assert {
        name: (codec.rates, codec.max_channels, codec.bps_per_channel, codec.bps)
        for name, codec in audio_encoding.CODECS.items()
    } == {name: dataclasses.astuple(rules) for name, rules in stream_rules.AUDIO.items()}
    assert (values.MAX_SIDE_PX, sprites.DEFAULT_SIDE, sprites.DEFAULT_TILE_WIDTH_PX, sprites.SHORTEST_INTERVAL) == (
        field_rules.MOST_SHEET_SIDE_PX,
        field_rules.DEFAULT_SIDE,
        field_rules.DEFAULT_TILE_WIDTH_PX,
        field_rules.SHORTEST_INTERVAL,
    )
