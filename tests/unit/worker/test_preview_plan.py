"""PreviewTask to arguments: which parts, how many pictures, in how many runs."""

from __future__ import annotations

import itertools
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
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.ffmpeg.options import VIDEO_ENCODERS
from telecine_worker.tasks import preview
from telecine_worker.tasks.plan import Plan

ENCODERS = frozenset({*VIDEO_ENCODERS, "libwebp_anim"})


def task(**fields: Any) -> media_pb2.PreviewTask:
    """A PreviewTask from the JSON names of its fields."""
    return json_format.ParseDict({"input": "main", "path": "p.mp4", **fields}, media_pb2.PreviewTask())


def plan(info: MediaInfo, **fields: Any) -> Plan:
    """With all encoders there."""
    made = preview.plan(task(**fields), {"main": info}, ENCODERS)
    check_plan(made, demuxers=("concat",))
    return made


def lasting(film: MediaInfo, *, minutes: int) -> MediaInfo:
    """The same for longer."""
    duration = timedelta(minutes=minutes)
    return replace(film, duration=duration, video=(replace(film.video[0], duration=duration),))


@pytest.mark.parametrize("extension", ["gif", "webp", "mp4"])
def test_golden_arguments(film, golden, extension):
    """Two parts in one run."""
    (step,) = plan(film, path=f"p.{extension}", clipCount=2).steps
    golden(f"preview_{extension}", step)


def test_many_parts_are_made_apart_and_joined(film, golden):
    """Eight at a time, then all of them, from a list of ours."""
    made = plan(lasting(film, minutes=10), clipCount=20, path="p.gif")
    assert [8, 8, 4, 1] == [step.argv.count("-i") for step in made.steps]
    golden("preview_part", made.steps[2])
    golden("preview_join", made.steps[-1])
    (script,) = made.scripts
    lines = ["".join(map(str, line)) for line in script.lines]
    assert ["ffconcat version 1.0", "file {out:part-0.nut}", "duration 1.200000"] == [lines[0], lines[1], lines[3]]
    assert all("concat" not in line for line in lines[1:])


def test_what_is_not_sought_is_read_once(film):
    """Where clips lie close together, and where a container has no index; also where nothing was found on the way to a clip."""
    long = lasting(film, minutes=10)
    assert [1] == [step.argv.count("-i") for step in plan(film, clipCount=20).steps]
    assert [1] == [step.argv.count("-i") for step in plan(replace(long, format="mpegts"), clipCount=20).steps]
    (step,) = plan(long, clipCount=5).steps
    assert step.otherwise is not None
    assert (5, 1) == (step.argv.count("-ss"), step.otherwise.argv.count("-i"))
    assert "-ss" not in step.otherwise.argv


def test_webp_is_made_by_the_encoder_that_knows_of_movement(film):
    """Where it is there; the other one makes larger files of the same."""
    assert "libwebp_anim" in plan(film, path="p.webp").steps[0].argv
    made = preview.plan(task(path="p.webp"), {"main": film}, frozenset({"libwebp"}))
    assert "libwebp" in made.steps[0].argv
    with pytest.raises(AttemptFailed, match="no encoder libwebp"):
        preview.plan(task(path="p.webp"), {"main": film}, frozenset({"gif"}))


@given(
    length=st.fractions(Fraction(1, 100), 100_000), wanted=st.fractions(Fraction(1, 100), 60), count=st.integers(1, 60),
    begin=st.fractions(0, 10),
)  # fmt: skip
def test_clips_lie_within_the_film_in_order(length, wanted, count, begin):
    """None overlaps another, each has a picture, and together they are as long as was asked for, or as the film."""
    length, wanted, begin = (timedelta(microseconds=max(1, round(each * 10**6))) for each in (length, wanted, begin))
    video = VideoStream(
        index=0,
        codec="h264",
        width_px=64,
        height_px=48,
        coded_width_px=64,
        coded_height_px=48,
        start=begin,
        duration=length,
    )
    info = MediaInfo(format="x", size_bytes=1, duration=begin + length, video=(video,))
    wished = task(clipCount=count)
    wished.duration.FromTimedelta(wanted)
    clips = preview._clips(wished, info, Fraction(10))
    whole = Fraction(length // timedelta(microseconds=1), 10**6)
    first = Fraction(begin // timedelta(microseconds=1), 10**6)
    assert max(1, round(min(Fraction(wanted // timedelta(microseconds=1), 10**6), whole) * 10)) == sum(
        c.frames for c in clips
    )
    assert all(clip.frames >= 1 for clip in clips)
    assert len(clips) <= count
    assert round(first * 10) <= clips[0].start
    assert all(one.start + one.frames <= two.start for one, two in itertools.pairwise(clips))
    # In whole pictures, and the last one is held.
    assert clips[-1].start + clips[-1].frames <= (first + whole) * 10 + 2


def test_a_palette_has_to_wait_for_all_pictures(film):
    """What would need too much memory meanwhile is refused, with how many would do; mp4 has no such bound."""
    long = replace(film, duration=timedelta(hours=1), video=(replace(film.video[0], duration=timedelta(hours=1)),))
    with pytest.raises(AttemptFailed, match="600 pictures of 1280x720 px are too much for a gif: at most 69"):
        plan(long, path="p.gif", duration="60s", widthPx=1920)
    assert plan(long, path="p.mp4", duration="60s", widthPx=1920)
