"""What tasks need from workers: the labels, and that both sides mean the same by them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from support.running_scheduler import a_spec
from telecine.v1 import media_pb2
from telecine_scheduler.rpc.requirements import (
    AUDIO_ENCODERS,
    DEFAULT_AUDIO_ENCODERS,
    DEFAULT_VIDEO_ENCODERS,
    LIBRARY_ENCODERS,
    VIDEO_ENCODERS,
    requirements_of,
)
from telecine_scheduler.rpc.task_rules import TASK_KINDS
from telecine_worker.ffmpeg import filters, hardware, options
from telecine_worker.tasks import audio_encoding, kinds, ladder, raw, video_encoding


def needs(**task: object) -> set[str]:
    """Of a task: what it needs beside task/<kind>, without the prefix."""
    spec = media_pb2.JobSpec(task=media_pb2.Task(**task))  # type: ignore[arg-type]
    [kind] = task
    labels = requirements_of(spec)
    assert f"task/{kind}" in labels
    return {label.removeprefix("encoder/") for label in labels - {f"task/{kind}"}}


def transcode(video: str = "", audio: str = "") -> media_pb2.TranscodeTask:
    task = media_pb2.TranscodeTask(input="in", path="out.mkv")
    if video:
        task.video.codec = video
    if audio:
        task.audio.codec = audio
    return task


@pytest.mark.parametrize(
    ("video", "audio", "encoders"),
    [
        ("h264", "aac", {"libx264"}),
        ("h265", "opus", {"libx265", "libopus"}),
        ("vp9", "mp3", {"libvpx-vp9", "libmp3lame"}),
        ("av1", "flac", {"libsvtav1"}),
        ("copy", "ac3", set()),
        ("copy", "copy", set()),
        ("", "pcm_s16le", set()),
    ],
)
def test_a_transcode_needs_its_codecs_libraries(video: str, audio: str, encoders: set[str]) -> None:
    """FFmpeg's own encoders and copies need nothing beside the kind."""
    assert encoders == needs(transcode=transcode(video, audio))


@pytest.mark.parametrize(
    ("args", "encoders"),
    [
        (["-i", "in", "-c:v", "libx265", "-c:a:0", "libopus", "out.mkv"], {"libx265", "libopus"}),
        (["-i", "in", "-vcodec", "libvpx", "-acodec", "libvorbis", "out.webm"], {"libvpx", "libvorbis"}),
        (["-i", "in", "-codec", "libwebp", "out.webp"], {"libwebp"}),
        (["-i", "in", "out.mp4"], {"libx264"}),
        (["-i", "in", "-vf", "fps=5", "-c:a", "copy", "out.MKV"], {"libx264"}),
        (["-i", "in", "out.webm"], {"libvpx-vp9", "libopus"}),
        (["-i", "in", "-vn", "out.mkv"], {"libvorbis"}),
        (["-i", "in", "-an", "-c:v", "mpeg4", "out.mkv"], set()),
        (["-i", "in", "-map", "0:a?", "out.m4a"], set()),
        (["-i", "in", "-map", "0:v:0", "out.webm"], {"libvpx-vp9"}),
        (["-i", "in", "-map", "0:1", "-map", "-0:s", "out.webm"], {"libvpx-vp9", "libopus"}),
        (["-i", "in", "-vcodec", "mjpeg", "-acodec", "flac", "out.mkv"], set()),
        (["-i", "in", "out.mp3"], {"libmp3lame"}),
        (["-i", "in", "-b:a", "64k", "out.opus"], {"libopus"}),
        (["-i", "in", "out.ts"], set()),
        (["-i", "in.mp4", "out.flac"], set()),
        (["-i", "in", "-c", "copy", "out.mkv"], set()),
        (["-i", "in", "-c:v", "mpeg4", "-c:a", "aac", "-scodec", "srt", "out.mkv"], set()),
        (["-i", "libx264", "-vf", "scale=640:-2,eq=gamma=1.1", "libx265"], set()),
        (["-i", "in", "-c:v", "libfdk_aac", "out.mp4"], set()),
    ],
)
def test_raw_arguments_need_the_libraries_they_name(args: list[str], encoders: set[str]) -> None:
    """Only where an encoder stands, and only names of the allow-list: whatever else is there makes no class of its own."""
    assert encoders == needs(ffmpeg=media_pb2.FfmpegTask(args=args, outputs=args[-1:]))


def test_every_output_needs_what_ffmpeg_chooses_for_it() -> None:
    """Options count for the output they stand before."""
    args = ["-i", "in", "-c:v", "libx265", "-an", "a.mp4", "-vn", "b.mp3", "-c:a", "flac", "c.webm"]
    task = media_pb2.FfmpegTask(args=args, outputs=["a.mp4", "b.mp3", "c.webm"])
    assert {"libx265", "libmp3lame", "libvpx-vp9"} == needs(ffmpeg=task)


def test_pictures_need_a_library_only_for_webp() -> None:
    """jpg and png are FFmpeg's own; a probe needs no encoder at all."""
    found = {
        name: needs(thumbnails=media_pb2.ThumbnailsTask(input="in", path=f"%d.{name}", count=1))
        for name in ("jpg", "png", "webp", "WEBP")
    }
    assert {"jpg": set(), "png": set(), "webp": {"libwebp"}, "WEBP": {"libwebp"}} == found
    assert set() == needs(probe=media_pb2.ProbeTask(input="in"))


def test_hardware_takes_the_place_of_a_library_only_where_it_is_required() -> None:
    """Where it is preferred, software has to be there for when it fails."""
    task = transcode("h265", "aac")
    task.video.hardware = media_pb2.Video.HARDWARE_PREFERRED
    assert {"libx265"} == needs(transcode=task)
    task.video.hardware = media_pb2.Video.HARDWARE_REQUIRED
    assert {"hardware/h265"} == needs(transcode=task)


def test_filters_of_libraries_are_required_by_what_asks_for_them() -> None:
    """Tone mapping, burnt-in subtitles, VMAF; a watermark and SSIM are FFmpeg's own."""
    task = transcode("h264")
    task.filters.watermark.input = "logo"
    assert {"libx264"} == needs(transcode=task)
    task.video.tone_map_to_sdr = True
    task.filters.burn_subtitles = "text"
    assert {"libx264", "filter/zscale", "filter/subtitles"} == needs(transcode=task)
    found = {
        metric: needs(quality=media_pb2.QualityTask(reference="a", distorted="b", metrics=["ssim", metric]))
        for metric in ("psnr", "vmaf")
    }
    assert {"psnr": set(), "vmaf": {"filter/libvmaf"}} == found


def test_a_package_needs_what_all_its_renditions_need() -> None:
    """One that chooses its ladder is H.264 and AAC, and SDR whatever the source is."""
    assert {"libx264", "filter/zscale"} == needs(packaging=media_pb2.PackagingTask(input="in", directory="hls"))
    renditions = [
        media_pb2.Rendition(name=codec, video=media_pb2.Video(codec=codec, tone_map_to_sdr=codec == "av1"))
        for codec in ("h265", "av1")
    ]
    task = media_pb2.PackagingTask(
        input="in", directory="hls", renditions=renditions, audio=media_pb2.Audio(codec="opus")
    )
    assert {"libx265", "libsvtav1", "libopus", "filter/zscale"} == needs(packaging=task)


def test_the_other_kinds_need_the_libraries_of_what_they_write() -> None:
    """A copy needs none."""
    clips = [media_pb2.ConcatTask.Clip(input="a")]
    concat = media_pb2.ConcatTask(clips=clips, path="a.mkv")
    assert set() == needs(concat=concat)
    concat.video.codec, concat.audio.codec = "vp9", "opus"
    assert {"libvpx-vp9", "libopus"} == needs(concat=concat)
    audio = media_pb2.AudioTask(input="in", path="a.mp3", audio=media_pb2.Audio(codec="mp3"))
    assert {"libmp3lame"} == needs(audio=audio)
    found = {
        name: needs(preview=media_pb2.PreviewTask(input="in", path=f"a.{name}")) for name in ("gif", "webp", "mp4")
    }
    assert {"gif": set(), "webp": {"libwebp"}, "mp4": {"libx264"}} == found
    sheets = media_pb2.SpritesTask(input="in", path="%d.webp", index_path="a.vtt")
    assert {"libwebp"} == needs(sprites=sheets)


def test_storage_is_required_by_its_scheme() -> None:
    """Of inputs and of the output, each once; files and http need nothing."""
    spec = a_spec(
        inputs={"in": media_pb2.Input(uri="s3://b/in"), "more": media_pb2.Input(uri="s3://c/in")},
        output=media_pb2.Output(uri="az://c/out"),
    )
    assert {"storage/s3", "storage/az"} == {each for each in requirements_of(spec) if each.startswith("storage/")}


def test_the_callers_requirements_come_besides() -> None:
    """And make one set with the task's."""
    spec = a_spec(requirements=["gpu/nvidia", "encoder/libx264"])

    assert {"task/transcode", "encoder/libx264", "gpu/nvidia"} == requirements_of(spec)


def test_both_sides_have_the_same_tables() -> None:
    """The scheduler must not import the worker, so this holds their codecs and encoders together."""
    libraries = {codec: each.encoder for codec, each in video_encoding.CODECS.items()}
    assert libraries == dict(VIDEO_ENCODERS)
    sounds = {codec: each.encoder for codec, each in audio_encoding.CODECS.items() if each.encoder.startswith("lib")}
    assert sounds == dict(AUDIO_ENCODERS)
    assert options.LIBRARY_ENCODERS == LIBRARY_ENCODERS
    assert VIDEO_ENCODERS.keys() == hardware.ENCODERS.keys()
    ladders = {(each.video.codec, each.video.tone_map_to_sdr) for each in ladder.ladder(1920, 1080, Fraction(30))}
    assert {("h264", True)} == ladders
    assert {*DEFAULT_VIDEO_ENCODERS.values(), *DEFAULT_AUDIO_ENCODERS.values()} <= LIBRARY_ENCODERS
    assert {*DEFAULT_VIDEO_ENCODERS, *DEFAULT_AUDIO_ENCODERS} <= set(raw.FILE_TYPES)
    assert set(kinds.SUPPORTED) == TASK_KINDS
    # Each of these needs another library: with one on the allow-list, requirements.py has to say filter/<name>.
    assert not {"zscale", "drawtext", "subtitles", "ass", "libplacebo", "libvmaf", "vidstabtransform"} & set(
        filters.FILTERS
    )
