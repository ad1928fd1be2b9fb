"""ConcatTask to arguments: what is copied, what is encoded, and in how many runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from google.protobuf import json_format

from support.argv_rules import check_plan
from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.tasks import concat
from telecine_worker.tasks.plan import InputPlace, Plan

H264 = {"codec": "h264"}


@pytest.fixture
def plan(encoders):
    """Plans a ConcatTask of clips, each an input's name, or that and its trim."""

    def make(inputs: dict[str, MediaInfo], *clips: str | tuple[str, dict[str, str]], **fields: Any) -> Plan:
        listed = [{"input": each} if isinstance(each, str) else {"input": each[0], "trim": each[1]} for each in clips]
        data = {"path": "a.mp4", "clips": listed, **fields}
        made = concat.plan(json_format.ParseDict(data, media_pb2.ConcatTask()), inputs, encoders)
        check_plan(made, demuxers=("concat",))
        return made

    return make


@pytest.fixture
def small(film) -> MediaInfo:
    """Another size, rate and length, and no sound."""
    video = replace(film.video[0], width_px=100, height_px=200, coded_width_px=200, coded_height_px=100)
    video = replace(video, rotation_degrees=90, frame_rate=Fraction(25), duration=timedelta(seconds=4), index=0)
    return replace(film, duration=timedelta(seconds=4), video=(video,), audio=())


def test_golden_copy(plan, film, golden):
    """One run over a list of ours, in which every file is held to the formats of inputs again."""
    made = plan({"a": film, "b": film}, "a", "b", "a")
    golden("concat_copy", made.steps[0])
    (script,) = made.scripts
    guard = f"option format_whitelist {','.join(whitelists.FORMATS)}"
    files = [
        ("file ", InputPlace("a")),
        (guard,),
        ("file ", InputPlace("b")),
        (guard,),
        ("file ", InputPlace("a")),
        (guard,),
    ]
    assert (("ffconcat version 1.0",), *files) == script.lines
    assert "concat" not in whitelists.FORMATS
    (artifact,) = made.artifacts
    assert (900, timedelta(seconds=30.03)) == (artifact.video.frame_count, artifact.duration)


def test_golden_encoding(plan, film, small, golden):
    """Clips of two kinds, one of them a part: pictures and sound, then both together."""
    made = plan({"a": film, "b": small}, "a", ("b", {"start": "1s", "end": "2.5s"}), video=H264, audio={"codec": "aac"})
    for number, step in enumerate(made.steps, 1):
        golden(f"concat_encode.{number}", step)
    (artifact,) = made.artifacts
    assert (300 + 45, 1280, 720) == (artifact.video.frame_count, artifact.video.width_px, artifact.video.height_px)
    assert timedelta(seconds=11.5) == artifact.duration


def test_a_thousand_clips_are_encoded_eight_at_a_time(plan, film):
    """Never more inputs in one process; the sums of pictures and samples do not drift."""
    listed = [("a", {"start": "0.1s", "end": "0.3s"})] * 1000
    rate = {"numerator": 30000, "denominator": 1001}
    made = plan({"a": film}, *listed, video={**H264, "frameRate": rate}, audio={"codec": "aac"})
    assert 125 + 1 == len(made.steps)
    assert {8} == {step.argv.count("-i") for step in made.steps[:-1]}
    graphs = " ".join(str(step.argv) for step in made.steps[:-1])
    samples = sum(int(text.split("[", 1)[0]) for text in graphs.split("atrim=end_sample=")[1:])
    assert round(Fraction(6000 * 1001, 30000) * 48000) == samples
    assert 6000 == made.artifacts[0].video.frame_count


def test_two_passes_are_made_of_each_part(plan, film):
    """The first one without sound, and both of the same pictures."""
    made = plan(
        {"a": film}, *["a"] * 9, video={**H264, "bitrateBps": "500000", "twoPass": True}, audio={"codec": "aac"}
    )
    assert ["1", "2", "1", "2"] == [step.argv[step.argv.index("-pass") + 1] for step in made.steps[:-1]]
    assert [False, True] * 2 == ["pcm_s24le" in step.argv for step in made.steps[:-1]]
    graphs = [str(step.argv[step.argv.index("-filter_complex") + 1]).split(";") for step in made.steps[:-1]]
    chains = [[each for each in graph if each.endswith("[v7]")] for graph in graphs]
    assert (chains[0], 1) == (chains[1], len(chains[0]))


def test_what_only_the_sound_has_at_the_end_is_cut_off_if_it_is_short(plan, film):
    """A frame of an encoder of sound is not another picture; seconds of sound are."""
    ten_and_a_bit = plan({"a": film}, "a", video={**H264, "frameRate": {"numerator": 240, "denominator": 1}})
    assert 2400 == ten_and_a_bit.artifacts[0].video.frame_count
    long = replace(film, duration=timedelta(seconds=12))
    held = plan({"a": long}, "a", video=H264)
    assert 360 == held.artifacts[0].video.frame_count
    # As many pictures of it as it says that it has come, half a second aside.
    (arrival,) = held.steps[0].arrivals
    assert (frozenset({1}), 10) == (arrival.ends[0].marks, arrival.ends[0].seconds)
    assert "if(eq(n,284),print(1,24))" in str(held.steps[0].argv)


def test_what_only_the_container_says_is_of_the_longest_stream(plan, film):
    """The pictures or the sound last so long; where only one of them is used, nothing is known of it."""
    unsure = replace(
        film, video=(replace(film.video[0], duration=None),), audio=(replace(film.audio[0], duration=None),)
    )
    both = plan({"a": unsure}, "a", video=H264, audio={"codec": "aac"}).steps[0].arrivals[0]
    assert [frozenset({1, 2})] == [end.marks for end in both.ends]
    one = plan({"a": unsure}, "a", video=H264).steps[0].arrivals[0]
    assert (0, ()) == (one.first, one.ends)
    alone = plan({"a": replace(unsure, audio=())}, "a", video=H264).steps[0].arrivals[0]
    assert [frozenset({1})] == [end.marks for end in alone.ends]


def test_a_part_is_read_from_before_it(plan, film):
    """And from the beginning of the input where no picture was found on the way."""
    long = replace(film, duration=timedelta(minutes=1), video=(replace(film.video[0], duration=timedelta(minutes=1)),))
    (step, *_) = plan({"a": long}, ("a", {"start": "30s", "end": "31s"}), video=H264).steps
    assert "28.000000" == step.argv[step.argv.index("-ss") + 1]
    (heard, *_) = plan({"a": long}, ("a", {"start": "30s", "end": "31s"}), video=H264, audio={"codec": "aac"}).steps
    assert "20.000000" == heard.argv[heard.argv.index("-ss") + 1]
    assert step.otherwise is not None
    assert "-ss" not in step.otherwise.argv
    assert "trim=start_frame=900:end_frame=930" in str(step.otherwise.argv)


@pytest.mark.parametrize(("path", "kept"), [("a.mp4", True), ("a.mov", True), ("a.mkv", False), ("a.ts", False)])
def test_what_is_stored_turned_is_copied_where_that_is_kept(plan, film, path, kept):
    """Elsewhere players would show it lying."""
    turned = replace(film, video=(replace(film.video[0], rotation_degrees=90),))
    if kept:
        assert 90 == plan({"a": turned}, "a", path=path).artifacts[0].video.rotation_degrees
        return
    with pytest.raises(AttemptFailed, match=r"turned by 90°.*a path that ends in one of mp4, mov would be right"):
        plan({"a": turned}, "a", path=path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"codec": "vp9"}, "the codec of its video is vp9 instead of h264"),
        ({"pixel_format": "yuv422p"}, "the pixel_format of its video is yuv422p instead of yuv420p"),
        ({"rotation_degrees": 90}, "the rotation_degrees of its video is 90 instead of unknown"),
        ({"extradata_hash": "SHA256:1"}, "its video was encoded with other settings"),
        ({"color_transfer": "smpte2084"}, "the color_transfer of its video is smpte2084 instead of unknown"),
        ({"index": 0}, "its video is stream 0 instead of 1"),
    ],
)
def test_every_difference_is_named(plan, film, change, words):
    """Of what a decoder would stumble over."""
    other = replace(film, video=(replace(film.video[0], **change),))
    with pytest.raises(AttemptFailed) as error:
        plan({"a": film, "b": other}, "a", "b")
    assert "OPTION_INVALID" == error.value.failure.reason
    assert f"clips[1] (input b) does not match clips[0] (input a): {words}; with video or audio set" in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"codec": "mp3"}, "the codec of its sound is mp3 instead of aac"),
        ({"sample_rate_hz": 44100}, "the sample_rate_hz of its sound is 44100 instead of 48000"),
        ({"channel_count": 1}, "the channel_count of its sound is 1 instead of 2"),
    ],
)
def test_every_difference_of_sound_is_named(plan, film, change, words):
    """The same of the sound."""
    other = replace(film, audio=(replace(film.audio[0], **change),))
    with pytest.raises(AttemptFailed) as error:
        plan({"a": film, "b": other}, "a", "b")
    assert words in str(error.value)


def test_hdr_and_sdr_are_not_mixed(plan, film):
    """Unless both become SDR."""
    hdr = replace(film, video=(replace(film.video[0], color_transfer="smpte2084", pixel_format="yuv420p10le"),))
    with pytest.raises(AttemptFailed, match=r"clips\[1\] \(input b\) and clips\[0\] \(input a\) only one is HDR"):
        plan({"a": film, "b": hdr}, "a", "b", video=H264)
    made = plan({"a": film, "b": hdr}, "a", "b", video={**H264, "toneMapToSdr": True})
    assert 1 == str(made.steps[0].argv).count("npl=100")
    assert ["zscale"] == list(made.filters)


@pytest.mark.parametrize(
    ("clips", "fields", "reason", "words"),
    [
        ([], {}, "OPTION_INVALID", "1 to 1000"),
        (["a"] * 1001, {}, "OPTION_INVALID", "1 to 1000"),
        (["a", ("a", {"start": "11s"})], {"video": H264}, "TRIM_OUT_OF_RANGE", "clips[1]: trim.start"),
        ([("a", {"start": "1s"})], {}, "OPTION_INVALID", "clips[0].trim: what is copied can only be cut at key frames"),
        (["a"], {"video": {"codec": "copy"}}, "OPTION_INVALID", "leave out video and audio"),
        (["a"], {"video": {**H264, "hardware": "HARDWARE_REQUIRED"}}, "UNSUPPORTED_OPTION", "video.hardware"),
        (["a"], {"video": {**H264, "hardware": "HARDWARE_PREFERRED"}}, "UNSUPPORTED_OPTION", "video.hardware"),
        (["a", "b"], {"video": H264, "path": "a.webm"}, "CODEC_NOT_IN_CONTAINER", "webm"),
        (["b"], {"audio": {"codec": "aac"}}, "INPUT_MISSING_STREAM", "none of the clips has any"),
    ],
)
def test_what_cannot_be_is_refused_in_words(plan, film, small, clips, fields, reason, words):
    """By clip and field."""
    with pytest.raises(AttemptFailed) as error:
        plan({"a": film, "b": small}, *clips, **fields)
    assert (reason, True) == (error.value.failure.reason, words in error.value.failure.message)


def test_a_clip_without_a_length_is_refused(plan, film):
    """A picture is shown for no time, or for as long as is said."""
    still = replace(film, duration=None, format="png_pipe", video=(replace(film.video[0], duration=None),), audio=())
    with pytest.raises(AttemptFailed, match=r"clips\[0\]: how long input a is cannot be told; set its trim.end"):
        plan({"a": still}, "a", video=H264)
    (step, _) = plan({"a": still}, ("a", {"end": "2s"}), video=H264).steps
    assert (60, ()) == (step.frame_count, step.arrivals[0].ends)


def test_a_length_that_is_estimated_is_not_held_to(plan, film):
    """All of such a sound is heard, unless the part of it has an end."""
    guessed = replace(film, format="mp3", video=(), audio=(replace(film.audio[0], index=0),), other_streams=0)
    whole = plan({"a": guessed}, "a", "a", audio={"codec": "aac"}, path="a.m4a")
    assert (None, False) == (whole.artifacts[0].duration, "apad" in str(whole.steps[0].argv))
    part = plan({"a": guessed}, ("a", {"end": "2s"}), audio={"codec": "aac"}, path="a.m4a")
    assert (timedelta(seconds=2), True) == (
        part.artifacts[0].duration,
        "atrim=end_sample=96000" in str(part.steps[0].argv),
    )
