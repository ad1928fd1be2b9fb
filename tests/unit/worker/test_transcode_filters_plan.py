"""Filters, colours, loudness and hardware of a transcode as arguments, and what of them is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from google.protobuf import json_format

from support import argv_rules
from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg.hardware import FAMILY_OF
from telecine_worker.ffmpeg.media_info import MediaInfo, SubtitleStream, VideoStream
from telecine_worker.ffmpeg.options import AUDIO_ENCODERS, VIDEO_ENCODERS
from telecine_worker.tasks import transcode
from telecine_worker.tasks.plan import Plan

SOFTWARE = frozenset({*VIDEO_ENCODERS, *AUDIO_ENCODERS})
LOGO = MediaInfo(
    format="png_pipe",
    size_bytes=1000,
    video=(VideoStream(index=0, codec="png", width_px=200, height_px=100, coded_width_px=200, coded_height_px=100),),
)
WORDS = MediaInfo(format="srt", size_bytes=1000, subtitles=(SubtitleStream(index=0, codec="subrip"),))
H264 = {"codec": "h264"}
MARK = {"watermark": {"input": "logo", "x": 0.9, "y": 0.1, "width": 0.2, "opacity": 0.7}}
CROP = {"leftPx": 100, "topPx": 0, "widthPx": 640, "heightPx": 361}
TASKS: dict[str, dict[str, Any]] = {
    "filters_all": {
        "video": {**H264, "heightPx": 180, "frameRate": {"numerator": 24, "denominator": 1}},
        "filters": {"deinterlace": True, "crop": CROP, **MARK, "burnSubtitles": "words"},
        "trim": {"start": "1.5s", "end": "4s"},
    },
    "filters_subtitles": {"video": H264, "filters": {"burnSubtitles": "words"}},
    "loudness": {"video": H264, "audio": {"codec": "aac", "loudness": {}}},
    "loudness_two_pass": {
        "video": {**H264, "bitrateBps": 10**6, "twoPass": True},
        "audio": {
            "codec": "opus",
            "channelCount": 6,
            "loudness": {"integratedLufs": -23, "truePeakDbtp": -2, "rangeLu": 7},
        },
    },
}


def plan(film: MediaInfo, encoders: frozenset[str] = SOFTWARE, **fields: Any) -> Plan:
    """Of *film*, with a picture and subtitles beside it."""
    task = json_format.ParseDict({"input": "main", "path": "a.mkv", **fields}, media_pb2.TranscodeTask())
    made = transcode.plan(task, {"main": film, "logo": LOGO, "words": WORDS}, encoders)
    argv_rules.check_plan(made)
    return made


def hdr(film: MediaInfo, transfer: str = "smpte2084") -> MediaInfo:
    """The film in HDR, of whose matrix nothing is said."""
    return replace(film, video=(replace(film.video[0], color_transfer=transfer, color_primaries="bt2020"),))


@pytest.mark.parametrize("name", TASKS)
def test_golden_filters(name, film, golden):
    """Each task makes exactly these arguments, one file for each run."""
    for number, step in enumerate(plan(film, **TASKS[name]).steps, 1):
        golden(f"{name}.{number}", step)


def test_golden_tone_mapping(film, golden):
    """HDR becomes BT.709, in what the stream says and where it says nothing; the plan says what it needs."""
    made = plan(hdr(film), video={**H264, "toneMapToSdr": True})
    golden("tone_mapping", made.steps[0])
    video = made.artifacts[0].video
    assert video is not None
    assert ("bt709", "yuv420p", {"zscale"}) == (video.color_transfer, video.pixel_format, {*made.filters})
    with pytest.raises(AttemptFailed, match=r"UNSUPPORTED_OPTION: video\.tone_map_to_sdr: .* no filter zscale"):
        made.check_filters({"subtitles"})
    made.check_filters({"zscale"})


def test_what_is_not_hdr_is_not_tone_mapped(film):
    """The same arguments as without, and no need of a filter."""
    mapped, plain = plan(film, video={**H264, "toneMapToSdr": True}), plan(film, video=H264)
    assert plain.steps == mapped.steps
    assert {} == mapped.filters


@pytest.mark.parametrize(("codec", "made"), [("h265", "yuv420p10le"), ("av1", "yuv420p10le"), ("vp9", "yuv420p10le")])
def test_hdr_keeps_ten_bits(film, codec, made):
    """And its transfer function is checked in the result."""
    video = plan(hdr(film), video={"codec": codec}).artifacts[0].video
    assert video is not None
    assert (made, "smpte2084") == (video.pixel_format, video.color_transfer)


@pytest.mark.parametrize(
    ("fields", "reason", "said"),
    [
        ({"video": H264, "filters": {"crop": {**CROP, "leftPx": 641}}}, "OPTION_INVALID", "1280x720"),
        ({"video": H264, "filters": {"crop": {**CROP, "heightPx": 721}}}, "OPTION_INVALID", "640x721 px at 100,0"),
        ({"video": H264, "filters": {"watermark": {"input": "main"}}}, "OPTION_INVALID", "one picture"),
        ({"video": H264, "filters": {"watermark": {"input": "words"}}}, "OPTION_INVALID", "one picture"),
        ({"video": H264, "filters": {"burnSubtitles": "logo"}}, "OPTION_INVALID", "SubRip"),
        (
            {"video": {"codec": "h265", "pixelFormat": "yuv444p12le"}, "filters": MARK},
            "UNSUPPORTED_OPTION",
            "yuv420p10le",
        ),
    ],
)
def test_filters_that_cannot_work_are_refused(film, fields, reason, said):
    """By field, with what would be right."""
    with pytest.raises(AttemptFailed) as error:
        plan(film, **fields)
    assert (FailureKind.PERMANENT, reason) == (error.value.failure.kind, error.value.failure.reason)
    assert said in error.value.failure.message


@pytest.mark.parametrize("filters", [MARK, {"burnSubtitles": "words"}])
def test_nothing_is_drawn_over_hdr(film, filters):
    """White would be as bright as the sun; over what was tone mapped it is drawn."""
    with pytest.raises(AttemptFailed, match=r"UNSUPPORTED_OPTION: .*tone_map_to_sdr"):
        plan(hdr(film), video={"codec": "h265"}, filters=filters)
    assert plan(hdr(film), video={"codec": "h265", "toneMapToSdr": True}, filters=filters).steps


def test_hdr_in_h264_has_to_be_asked_for(film):
    """Eight bits would be wrong, and ten are what hardly any player takes."""
    with pytest.raises(AttemptFailed, match=r"OPTION_INVALID: .*arib-std-b67.*tone_map_to_sdr"):
        plan(hdr(film, "arib-std-b67"), video=H264)
    video = plan(hdr(film), video={**H264, "pixelFormat": "yuv420p10le"}).artifacts[0].video
    assert video is not None
    assert "yuv420p10le" == video.pixel_format


@pytest.mark.parametrize(
    ("video", "said"),
    [
        (
            {**H264, "profile": "high", "pixelFormat": "yuv420p10le"},
            "in the profiles high10, high422, high444; and high has",
        ),
        ({"codec": "vp9", "profile": "2"}, "in the profiles 0; and 2 has video.pixel_format yuv420p10le"),
        ({"codec": "h265", "profile": "main"}, "yuv420p10le: h265 has that in the profiles main10, main12"),
    ],
)
def test_a_profile_has_the_pixel_format_of_the_result(film, video, said):
    """That of the spec, or of what is made where it says nothing: of HDR (the last one) ten bits."""
    with pytest.raises(AttemptFailed, match=f"OPTION_INVALID: .*{said}"):
        plan(hdr(film) if video["codec"] == "h265" else film, video=video)
    assert plan(film, video={"codec": "h265", "profile": "main"}).steps


def test_a_loudness_that_was_measured_is_applied(film):
    """The second run is told what the first found; silence passes, and what is above full scale is made quieter."""
    made = plan(film, **TASKS["loudness"])
    at = made.steps[1].argv.index("-af") + 1
    found = {
        "loudness.integrated_lufs": -30.25, "loudness.true_peak_dbtp": -12.0, "loudness.range_lu": 3.0,
        "loudness.threshold_lufs": -40.5, "loudness.offset_lu": 0.1,
    }  # fmt: skip
    mixing = "aformat=channel_layouts=stereo"
    gaps = ",aresample=async=1:first_pts=0:min_hard_comp=0.040000,"
    filled = {
        # After gaps were filled.
        name: made.steps[1].filled({"main": "u"}, values)[at].partition(gaps)[2]
        for name, values in {
            "measured": found, "even": {**found, "loudness.range_lu": 0.0}, "silent": {},
            "loud": {**found, "loudness.integrated_lufs": 1.5},
            "peak": {"loudness.true_peak_dbtp": -90.0},
        }.items()
    }  # fmt: skip
    assert {
        "measured": f"{mixing},loudnorm=I=-16.00:TP=-1.50:LRA=11.00:measured_I=-30.25:measured_TP=-12.00:measured_LRA=3.00:"
        "measured_thresh=-40.50:offset=0.10:linear=true:print_format=none",
        "even": f"{mixing},loudnorm=I=-16.00:TP=-1.50:LRA=11.00:measured_I=-30.25:measured_TP=-12.00:measured_LRA=0.01:"
        "measured_thresh=-40.50:offset=0.10:linear=true:print_format=none",
        "silent": f"{mixing},anull",
        "peak": f"{mixing},anull",
        "loud": f"{mixing},volume='pow(10,(-16.00-(1.50))/20)'",
    } == filled
    assert made.wanted is not None
    assert (True, -16.0) == (made.wanted.loudness, made.wanted.planned["loudness.target_integrated_lufs"])


def test_the_language_of_the_sound_is_kept(film):
    """A word of three letters; whatever else a file says is left out."""
    for language, kept in (("deu", True), ("", False), ("../x", False), ("de\n", False)):
        spoken = replace(film, audio=(replace(film.audio[0], language=language),))
        assert kept is ("language=deu" in plan(spoken, audio={"codec": "aac"}).steps[0].argv)


@pytest.mark.parametrize(
    ("encoder", "video"),
    [
        (
            "h264_nvenc",
            {"crf": 20, "maxBitrateBps": 10**6, "preset": "veryslow", "profile": "high", "gopDuration": "2s"},
        ),
        ("hevc_qsv", {"preset": "ultrafast"}),
        ("av1_qsv", {"crf": 63}),
        ("vp9_vaapi", {}),
        ("h264_vaapi", {"bitrateBps": 10**6, "maxBitrateBps": 2 * 10**6}),
        ("hevc_videotoolbox", {"pixelFormat": "yuv420p10le"}),
        ("av1_amf", {"preset": "0"}),
    ],
)
def test_golden_hardware(encoder, video, film, golden):
    """What the encoder is told; and after it, software."""
    codec = {"h264": "h264", "hevc": "h265", "av1": "av1", "vp9": "vp9"}[encoder.partition("_")[0]]
    fields = {"codec": codec, "hardware": "HARDWARE_PREFERRED", **video}
    made = plan(film, SOFTWARE | {encoder}, video=fields)
    golden(f"hardware_{encoder}", made.steps[0])
    assert encoder == made.steps[0].hardware
    software = made.steps[0].otherwise
    assert software is not None
    assert (plan(film, video={**fields, "hardware": "HARDWARE_UNSPECIFIED"}).steps[0], "") == (
        software,
        software.hardware,
    )


def test_hardware_is_tried_in_turn(film):
    """All that work, and at last software, unless it is required."""
    every = SOFTWARE | {*FAMILY_OF}
    names = ["h264_nvenc", "h264_qsv", "h264_videotoolbox", "h264_amf", "h264_vaapi"]
    preferred = plan(film, every, video={**H264, "hardware": "HARDWARE_PREFERRED"})
    assert [*names, ""] == [step.hardware for step in argv_rules.steps_of(preferred)]
    required = plan(film, every - {"libx264"}, video={**H264, "hardware": "HARDWARE_REQUIRED"})
    assert names == [step.hardware for step in argv_rules.steps_of(required)]


@pytest.mark.parametrize(
    ("video", "wrong"),
    [
        ({"bitrateBps": 10**6, "twoPass": True}, "UNSUPPORTED_OPTION"), ({"pixelFormat": "yuv420p10le"}, "UNSUPPORTED_OPTION"),
        ({"profile": "baseline"}, "UNSUPPORTED_OPTION"), ({"crf": 20, "maxBitrateBps": 10**6}, "HARDWARE_FAILED"),
    ],
)  # fmt: skip
def test_what_no_hardware_does_is_softwares(film, video, wrong):
    """Where it is only preferred; where it is required, refused by name: what NVENC alone does, another worker may do."""
    encoders = SOFTWARE | {"h264_qsv"}
    preferred = plan(film, encoders, video={**H264, **video, "hardware": "HARDWARE_PREFERRED"})
    assert {""} == {step.hardware for step in argv_rules.steps_of(preferred)}
    with pytest.raises(AttemptFailed, match=rf"{wrong}: video\.") as error:
        plan(film, encoders, video={**H264, **video, "hardware": "HARDWARE_REQUIRED"})
    assert ("HARDWARE_FAILED" == wrong) is (error.value.failure.kind is FailureKind.RETRYABLE)


def test_required_hardware_that_is_not_there_is_elsewhere(film):
    """Retryable: the worker that published it may be another one."""
    with pytest.raises(AttemptFailed) as error:
        plan(film, video={**H264, "hardware": "HARDWARE_REQUIRED"})
    assert (FailureKind.RETRYABLE, "HARDWARE_FAILED") == (error.value.failure.kind, error.value.failure.reason)


def test_the_length_is_that_of_what_is_kept(film):
    """Where only the container says how long it is, that is about its longest stream, which may be left out."""
    unsure = replace(
        film, video=(replace(film.video[0], duration=None),), audio=(replace(film.audio[0], duration=None),)
    )
    both = plan(unsure, video=H264, audio={"codec": "aac"})
    assert timedelta(seconds=10.01) == both.artifacts[0].duration
    assert None is plan(unsure, video=H264).artifacts[0].duration
    short = replace(film, audio=(replace(film.audio[0], duration=timedelta(seconds=4)),))
    cut = plan(short, audio={"codec": "aac"}, trim={"start": "1s", "end": "8s"})
    assert timedelta(seconds=3) == cut.artifacts[0].duration
    least = cut.steps[0].least_duration
    assert least is not None
    assert timedelta(seconds=2.5) < least < timedelta(seconds=3)


def test_pictures_are_counted_where_gaps_are_filled(film):
    """At a rate of our own; at the source's, a gap stays one."""
    rate = {"numerator": 10, "denominator": 1}
    assert (99, 0) == (
        plan(film, video={**H264, "frameRate": rate}).steps[0].least_pictures,
        plan(film, video=H264).steps[0].least_pictures,
    )
    assert Fraction(10) == Fraction(rate["numerator"], rate["denominator"])
