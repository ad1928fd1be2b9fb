"""PackagingTask to arguments and expectations, without touching anything."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from support.argv_rules import check_plan
from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, SubtitleStream, VideoStream
from telecine_worker.ffmpeg.options import AUDIO_ENCODERS, VIDEO_ENCODERS
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.tasks import packaging
from telecine_worker.tasks.key_frames import constant_rate, grid
from telecine_worker.tasks.ladder import ladder
from telecine_worker.tasks.plan import OutputPlace, Plan

ENCODERS = frozenset({*VIDEO_ENCODERS, *AUDIO_ENCODERS})
H264 = {"codec": "h264", "heightPx": 360}


def rendition(name: str, **video: Any) -> dict[str, Any]:
    """One of the task."""
    return {"name": name, "video": {"codec": "h264", **video}}


ALL_CODECS = [
    rendition("hd", heightPx=720, bitrateBps="2000000", maxBitrateBps="3000000", preset="fast", profile="high"),
    rendition("h265", codec="h265", heightPx=540, pixelFormat="yuv420p10le"),
    rendition("av1", codec="av1", heightPx=360),
    rendition("vp9", codec="vp9", heightPx=240, frameRate={"numerator": 15, "denominator": 1}),
]
TASKS: dict[str, dict[str, Any]] = {
    "packaging_ladder": {},
    "packaging_codecs": {
        "renditions": ALL_CODECS, "gopDuration": "1s", "segmentDuration": "4s", "formats": ["FORMAT_DASH", "FORMAT_HLS"],
        "audio": {"codec": "opus", "channelCount": 1, "bitrateBps": "48000"},
    },
    "packaging_filters": {
        "renditions": [rendition("a", heightPx=360), rendition("b", heightPx=180)],
        "filters": {"deinterlace": True, "watermark": {"input": "logo"}, "burnSubtitles": "words"},
        "audio": {"codec": "aac", "loudness": {}},
    },
}  # fmt: skip
LOGO = MediaInfo(
    format="png_pipe", size_bytes=1,
    video=(VideoStream(index=0, codec="png", width_px=64, height_px=32, coded_width_px=64, coded_height_px=32),),
)  # fmt: skip
WORDS = MediaInfo(format="srt", size_bytes=1, subtitles=(SubtitleStream(index=0, codec="subrip"),))


def task(**fields: Any) -> media_pb2.PackagingTask:
    """A PackagingTask from the JSON names of its fields."""
    return json_format.ParseDict({"input": "main", "directory": "p", **fields}, media_pb2.PackagingTask())


def plan(info: MediaInfo, **fields: Any) -> Plan:
    """The plan for a task with all encoders there."""
    return packaging.plan(task(**fields), {"main": info, "logo": LOGO, "words": WORDS}, ENCODERS)


def with_video(info: MediaInfo, **fields: Any) -> MediaInfo:
    """*info* with another first video stream."""
    return replace(info, video=(replace(info.video[0], **fields),))


@pytest.mark.parametrize("name", TASKS)
def test_golden_arguments(name, film, golden):
    """Each task makes exactly these arguments, one file for each step."""
    steps = plan(film, **TASKS[name]).steps
    for number, step in enumerate(steps, 1):
        golden(name if len(steps) == 1 else f"{name}.{number}", step)


@pytest.mark.parametrize("name", TASKS)
def test_the_source_is_decoded_once(name, film):
    """One input for all renditions, whose streams are split after decoding; loudness is measured before, of the sound alone."""
    made = plan(film, **TASKS[name])
    argv = list(made.steps[-1].argv)
    assert 1 == sum(str(argument) == "{in:main}" for argument in argv)
    graph = str(argv[argv.index("-filter_complex") + 1])
    assert (1, 1) == (graph.count("[0:1]"), graph.count("split="))
    assert [Phase.ANALYZING] * (len(made.steps) - 1) == [step.phase for step in made.steps[:-1]]


def test_what_is_expected_is_made_with_the_arguments(film):
    """Renditions, sound, the grid, and the listings in the order of their publication."""
    made = plan(film, formats=["FORMAT_HLS", "FORMAT_DASH"])
    package = made.package
    assert package is not None
    assert ["720p", "480p", "360p", "240p", "audio"] == [track.name for track in package.tracks]
    videos = [track.stream.video for track in package.pictures]
    assert [(1280, 720, 300), (854, 480, 300), (640, 360, 300), (426, 240, 300)] == [
        (video.width_px, video.height_px, video.frame_count) for video in videos if video
    ]
    assert (Fraction(2), Fraction(6)) == (package.gop_seconds, package.segment_seconds)
    listings = ["720p.m3u8", "480p.m3u8", "360p.m3u8", "240p.m3u8", "audio.m3u8", "master.m3u8", "manifest.mpd"]
    assert [f"p/{name}" for name in listings] == [expected.path for expected in made.artifacts]
    assert (timedelta(seconds=10.01), 300) == (made.steps[0].duration, made.steps[0].frame_count)


@pytest.mark.parametrize(("formats", "names"), [
    ([], {"a.m3u8", "master.m3u8"}),
    (["FORMAT_HLS"], {"a.m3u8", "master.m3u8"}),
    (["FORMAT_DASH"], {"manifest.mpd"}),
])  # fmt: skip
def test_only_what_is_asked_for_is_listed(film, formats, names):
    """HLS where nothing is said."""
    made = plan(replace(film, audio=()), formats=formats, renditions=[rendition("a")])
    assert names == {expected.path.removeprefix("p/") for expected in made.artifacts}


@pytest.mark.parametrize(
    ("wide", "high", "rate", "rungs"),
    [
        (3840, 2160, 24, ["1080p", "720p", "480p", "360p", "240p"]),
        (1920, 1080, 24, ["1080p", "720p", "480p", "360p", "240p"]),
        (1920, 800, 24, ["720p", "480p", "360p", "240p"]),
        (720, 1280, 24, ["720p", "480p", "360p", "240p"]),
        (426, 240, 24, ["240p"]),
        (320, 180, 24, ["180p"]),
        (1, 1, 24, ["1p"]),
    ],
)
def test_the_ladder_is_at_or_below_the_source(wide, high, rate, rungs):
    """By the shorter side; at least one rendition."""
    made = ladder(wide, high, Fraction(rate))
    assert rungs == [each.name for each in made]
    sides = [each.video.width_px if wide < high else each.video.height_px for each in made]
    assert [int(name.removesuffix("p")) for name in rungs] == sides


def test_more_pictures_have_more_bits():
    """Half as much again at 60 a second and above, none at 30 and below."""
    rates = [ladder(1280, 720, rate)[0].video.max_bitrate_bps for rate in map(Fraction, (15, 30, 45, 60, 120))]
    assert [3_500_000, 3_500_000, 4_375_000, 5_250_000, 5_250_000] == rates


@pytest.mark.parametrize(
    ("rate", "fields", "frames", "gop", "segment"),
    [
        ("30", {}, 60, "2", "6"),
        ("30000/1001", {}, 60, "1001/500", "3003/500"),
        ("24000/1001", {"gopDuration": "1s", "segmentDuration": "4s"}, 24, "1001/1000", "1001/250"),
        ("25", {"gopDuration": "0.5s", "segmentDuration": "1s"}, 12, "12/25", "24/25"),
        ("10", {"gopDuration": "0.01s", "segmentDuration": "0.02s"}, 1, "1/10", "1/10"),
        ("30", {"gopDuration": "0.05s", "segmentDuration": "2s"}, 2, "1/15", "2"),
        ("30", {"gopDuration": "0.001s", "segmentDuration": "1s"}, 1, "1/30", "1"),
        ("3", {"gopDuration": "0.5s", "segmentDuration": "6s"}, 2, "2/3", "6"),
    ],
)
def test_the_grid_is_that_of_the_frames(rate, fields, frames, gop, segment):
    """A GOP is whole frames, a segment whole GOPs, whatever the rate."""
    found = grid(task(**fields), {"a": Fraction(rate)})
    assert ({"a": frames}, Fraction(gop), Fraction(segment)) == (
        found.gop_frames, found.gop_seconds, found.segment_seconds,
    )  # fmt: skip


@pytest.mark.parametrize(("average", "variable", "constant"), [
    ("30", False, "30"), ("2997/100", False, "2997/100"), ("20", True, "24000/1001"), ("29.97", True, "30000/1001"),
    ("24", True, "24"), ("30.02", True, "30"), ("31", True, "48"), ("70", True, "60"), ("1000", False, "60"),
])  # fmt: skip
def test_a_package_has_a_constant_rate(film, average, variable, constant):
    """The source's own, or the usual one at or above the average of a variable one."""
    source = replace(film.video[0], frame_rate=Fraction(average), variable_frame_rate=variable)
    assert Fraction(constant) == constant_rate(source)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"segmentDuration": "5s"}, "4 s would be right"),
        ({"gopDuration": "4s"}, "8 s would be right"),
        ({"segmentDuration": "61s", "gopDuration": "61s"}, "at most 60 s"),
        ({"renditions": [rendition("a"), rendition("A")]}, "a name that no other has"),
        ({"renditions": [rendition("Master")]}, "audio, manifest, master"),
        ({"renditions": [rendition("a", codec="copy")]}, "h264, h265, av1, vp9"),
        ({"renditions": [rendition("a", pixelFormat="yuv444p")]}, "yuv420p would be right"),
        ({"renditions": [rendition("a", bitrateBps="90000", twoPass=True)]}, "two_pass"),
        ({"renditions": [rendition("a", gopDuration="1s")]}, "gop_duration"),
        ({"renditions": [rendition("a", hardware="HARDWARE_PREFERRED")]}, "hardware"),
        (
            {"renditions": [rendition("a"), rendition("b", frameRate={"numerator": 30000, "denominator": 1001})]},
            "rendition a",
        ),
        ({"audio": {"codec": "mp3"}}, "aac, opus, ac3"),
        ({"audio": {"codec": "copy"}}, "aac, opus, ac3"),
        ({"audio": {"codec": "flac"}}, "aac, opus, ac3"),
        ({"audio": {"codec": "aac", "sampleRateHz": 16000}}, "22050 or more would be right"),
        ({"renditions": [rendition("a", codec="av1", heightPx=36)]}, "at least 64x64 px"),
        ({"formats": ["FORMAT_UNSPECIFIED"]}, "FORMAT_HLS, FORMAT_DASH"),
    ],
)
def test_what_cannot_work_is_refused_with_what_would(film, fields, said):
    """For good, by field, before anything runs."""
    with pytest.raises(AttemptFailed) as error:
        plan(film, **fields)
    assert (FailureKind.PERMANENT, "OPTION_INVALID") == (error.value.failure.kind, error.value.failure.reason)
    assert said in error.value.failure.message


def test_a_rate_at_which_segments_are_too_long_is_refused(film):
    """A picture every half minute makes GOPs of that length, and segments of more than players wait for are named."""
    with pytest.raises(AttemptFailed, match=r"at 1/90 frames per second a segment lasts 90 s.*set video\.frame_rate"):
        plan(with_video(film, frame_rate=Fraction(1, 90)), renditions=[rendition("a")])
    made = plan(with_video(film, frame_rate=Fraction(1, 30)), renditions=[rendition("a")]).package
    assert made is not None
    assert (30, 30) == (made.gop_seconds, made.segment_seconds)


def test_a_still_picture_is_refused():
    """It has no length that a package could have."""
    with pytest.raises(AttemptFailed, match=r"INPUT_MISSING_STREAM.*is a still one"):
        plan(LOGO)


def test_all_tracks_are_cut_a_second_after_the_longest(film):
    """Not by -frames, with which FFmpeg 9 ends the sound too; whoever reaches the cut is longer than it says."""
    longer = replace(
        film, duration=timedelta(seconds=14), audio=(replace(film.audio[0], duration=timedelta(seconds=14)),)
    )
    (step,) = plan(
        longer, renditions=[rendition("a"), rendition("b", frameRate={"numerator": 15, "denominator": 1})]
    ).steps
    graph = str(step.argv[step.argv.index("-filter_complex") + 1])
    assert ["450", "225"] == re.findall(r"trim=end_frame=(\d+)\[", graph)
    assert str(step.argv[step.argv.index("-filter:a:0") + 1]).startswith("aselect=")
    assert "atrim=end=15.000000" in str(step.argv[step.argv.index("-filter:a:0") + 1])
    assert (timedelta(seconds=14), timedelta(seconds=15), 450) == (
        step.duration,
        step.most_duration,
        step.most_pictures,
    )
    assert not [argument for argument in step.argv if str(argument).startswith("-frames")]


def test_a_source_of_unknown_length_is_cut_where_its_files_are_too_many(film):
    """Or after two days: whatever it turns out to be, the package is bounded."""
    endless = replace(with_video(film, duration=None, frame_count=0), duration=None)
    endless = replace(endless, audio=(replace(film.audio[0], duration=None),))
    (step,) = plan(endless, renditions=[rendition("a")]).steps
    assert (None, timedelta(seconds=25_000 * 6)) == (step.duration, step.most_duration)
    (step,) = plan(endless, renditions=[rendition("a")], segmentDuration="60s").steps
    assert timedelta(days=2) == step.most_duration


def test_pictures_are_repeated_when_they_are_made(film):
    """At a constant rate a gap is then many times the same picture, and not many; subtitles go on while it stands."""
    made = plan(film, renditions=[rendition("a", heightPx=90)], filters={"burnSubtitles": "words"}).steps[-1]
    graph = str(made.argv[made.argv.index("-filter_complex") + 1])
    order = [graph.index(name) for name in ("split", "scale", "format", "fps", "trim", "subtitles")]
    assert order == sorted(order)


def test_an_interlaced_source_is_deinterlaced_once(film):
    """Before the split, asked or not."""
    for filters in ({}, {"deinterlace": True}):
        (step,) = plan(with_video(film, field_order="tt"), filters=filters).steps
        graph = str(step.argv[step.argv.index("-filter_complex") + 1])
        assert (True, 1) == (graph.index("bwdif") < graph.index("split"), graph.count("bwdif"))


@pytest.mark.parametrize(("said", "high", "pixels", "matrix"), [
    ("", 720, "yuv420p", ["bt709"]), ("", 576, "yuv420p", ["smpte170m"]), ("bt709", 720, "yuv420p", []),
    ("", 720, "rgb24", ["bt709"]),
])  # fmt: skip
def test_all_renditions_have_the_matrix_of_the_source(film, said, high, pixels, matrix):
    """Players go by the size where nothing is said: that of the source, and not that of each rendition."""
    source = with_video(film, color_space=said, height_px=high, coded_height_px=high, pixel_format=pixels)
    (step,) = plan(source, renditions=[rendition("a", heightPx=360)]).steps
    assert matrix == re.findall(r"setparams=colorspace=(\w+)", str(step.argv[step.argv.index("-filter_complex") + 1]))


def test_the_sound_of_streams_without_index_may_end_later(film):
    """Where its last packet begins that was found is what is said of MPEG-TS."""
    later = []
    for name in ("mpegts", film.format):
        package = plan(replace(film, format=name)).package
        assert package is not None
        assert package.sound is not None
        later.append(package.sound.stream.late)
    assert [timedelta(milliseconds=750), timedelta(0)] == later


def test_bits_below_the_ladder_go_with_the_area():
    """Of a wide strip more than of a small picture that is as high."""
    strip, small, one = (
        ladder(*size, Fraction(25))[0].video.max_bitrate_bps for size in ((1280, 120), (160, 120), (1, 1))
    )
    assert (750_000, 93_750, 64_000) == (strip, small, one)


def test_missing_pictures_and_rates_are_told(film):
    """A package has pictures, at a rate that somebody knows."""
    with pytest.raises(AttemptFailed, match="INPUT_MISSING_STREAM"):
        plan(replace(film, video=()))
    with pytest.raises(AttemptFailed, match=r"set video\.frame_rate"):
        plan(with_video(film, frame_rate=None))
    rated = plan(
        with_video(film, frame_rate=None), renditions=[rendition("a", frameRate={"numerator": 5, "denominator": 1})]
    )
    assert 50 == rated.steps[0].frame_count
    with pytest.raises(AttemptFailed, match="ENCODER_MISSING"):
        packaging.plan(task(), {"main": film}, frozenset({"libx264"}))


def test_too_many_files_are_refused(film):
    """What has to be listed, checked and published is bounded; the way out is named."""
    two_days = with_video(film, duration=timedelta(days=2))
    with pytest.raises(AttemptFailed, match="longer segment_duration"):
        plan(two_days)
    assert plan(two_days, segmentDuration="60s").package is not None


def test_a_source_without_sound_has_none(film):
    """Also where sound is asked for."""
    made = plan(replace(film, audio=()), audio={"codec": "aac", "loudness": {}})
    assert made.package is not None
    assert (None, 1, False) == (made.package.sound, len(made.steps), "-filter:a:0" in made.steps[0].argv)


def test_sound_is_aac_where_nothing_is_said(film):
    """Of at most two channels: what every player has."""
    six = replace(film, audio=(replace(film.audio[0], channel_count=6),))
    sounds = [plan(info).package for info in (film, six)]
    audios = [package.sound.stream.audio for package in sounds if package and package.sound]
    assert [("aac", 2), ("aac", 2)] == [(audio.codec, audio.channel_count) for audio in audios if audio]


@pytest.mark.parametrize(("source", "made"), [(8000, 48000), (22050, 22050), (44100, 44100)])
def test_sound_of_a_low_rate_gets_a_usual_one(film, source, made):
    """What AAC has to begin with would be more than a player may be late."""
    low = plan(replace(film, audio=(replace(film.audio[0], sample_rate_hz=source),))).package
    assert low
    assert low.sound
    assert low.sound.stream.audio
    assert made == low.sound.stream.audio.sample_rate_hz


def test_late_pictures_are_counted_from_the_beginning(film):
    """Those before the first one are made, so that all tracks begin together."""
    late = with_video(film, start=timedelta(seconds=2), duration=timedelta(seconds=8))
    assert 300 == plan(late).steps[0].frame_count


VIDEOS = st.fixed_dictionaries(
    {"codec": st.sampled_from(["h264", "h265", "vp9", "av1"])},
    optional={
        "widthPx": st.sampled_from([0, 2, 3, 361, 8192]),
        "heightPx": st.sampled_from([0, 2, 3, 361, 8192]),
        "allowUpscale": st.booleans(),
        "crf": st.integers(0, 51),
        "maxBitrateBps": st.integers(1000, 10**7),
        "frameRate": st.builds(
            lambda top, bottom: {"numerator": top, "denominator": bottom},
            st.integers(1, 240),
            st.sampled_from([1, 1001]),
        ),
    },
)
SOURCES = st.builds(
    lambda wide, high, rate, channels, start: MediaInfo(
        format="matroska,webm",
        size_bytes=1,
        duration=timedelta(seconds=5),
        video=(
            VideoStream(
                index=0, codec="h264", width_px=wide, height_px=high, coded_width_px=wide, coded_height_px=high,
                frame_rate=rate, start=timedelta(seconds=start),
            ),
        ),
        audio=(AudioStream(index=1, codec="aac", sample_rate_hz=44100, channel_count=channels),),
    ),
    st.integers(1, 8192),
    st.integers(1, 8192),
    st.sampled_from([None, Fraction(25), Fraction(30000, 1001), Fraction(1, 7), Fraction(90000)]),
    st.integers(1, 24),
    st.integers(0, 3),
)  # fmt: skip


@given(
    info=SOURCES,
    videos=st.lists(VIDEOS, max_size=3),
    fields=st.fixed_dictionaries(
        {"directory": st.sampled_from(["p", "-y", "%d", "sub/dir", "concat:x|y"])},
        optional={
            "gopDuration": st.sampled_from(["0.000001s", "1s", "2s", "3.5s"]),
            "segmentDuration": st.sampled_from(["0.000001s", "2s", "7s", "60s"]),
            "filters": st.just({"deinterlace": True, "watermark": {"input": "logo"}, "burnSubtitles": "words"}),
        },
    ),
)
def test_no_plan_breaks_the_rules_of_arguments(info, videos, fields):
    """Whatever the spec: whitelists before every -i, one decode of the source, no path of a caller, even sizes, whole GOPs."""
    renditions = [{"name": f"r{number}", "video": video} for number, video in enumerate(videos)]
    try:
        made = plan(info, renditions=renditions, **fields)
    except AttemptFailed:
        return
    check_plan(made, foreign=[fields["directory"]] if len(fields["directory"]) > 2 else [])
    argv = list(made.steps[-1].argv)
    places = [place for place, argument in enumerate(argv) if argument == "-i"]
    assert ["{in:main}", *(["{in:logo}"] if "filters" in fields else [])] == [str(argv[at + 1]) for at in places]
    assert argv[-1] == OutputPlace("package.mpd")
    package = made.package
    assert package is not None
    for track in package.pictures:
        video = track.stream.video
        assert video is not None
        assert (0, 0) == ((video.width_px or 1) % 2, (video.height_px or 1) % 2)
        assert 1 == (package.gop_seconds * (track.frame_rate or 0)).denominator
    assert 1 == (package.segment_seconds / package.gop_seconds).denominator
