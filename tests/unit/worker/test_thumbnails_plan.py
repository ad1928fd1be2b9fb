"""ThumbnailsTask to arguments: which way is taken, which moments, which sizes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.ffmpeg.options import VIDEO_ENCODERS
from telecine_worker.tasks import thumbnails
from telecine_worker.tasks.moments import MOST_PICTURES, selection_of
from telecine_worker.tasks.plan import InputPlace, OutputPlace, Plan

_VIDEO = VideoStream(index=0, codec="h264", width_px=64, height_px=48, coded_width_px=64, coded_height_px=48)
TASKS: dict[str, dict[str, Any]] = {
    "thumbnails_pass": {"path": "t/%03d.jpg", "count": 3, "widthPx": 320},
    "thumbnails_best": {"path": "%d.webp", "best": 2},
    "thumbnails_seek": {"path": "%d.png", "offsets": {"offsets": ["0s", "2.5s", "9.999s"]}, "widthPx": 161},
}


def task(**fields: Any) -> media_pb2.ThumbnailsTask:
    """A ThumbnailsTask from the JSON names of its fields."""
    return json_format.ParseDict({"input": "main", "path": "%d.jpg", **fields}, media_pb2.ThumbnailsTask())


def plan(info: MediaInfo, **fields: Any) -> Plan:
    """With all encoders there."""
    return thumbnails.plan(task(**fields), {"main": info}, frozenset(VIDEO_ENCODERS))


def lasting(film: MediaInfo, **time: float) -> MediaInfo:
    """*film* with another duration."""
    return replace(film, duration=timedelta(**time), video=(replace(film.video[0], duration=timedelta(**time)),))


@pytest.mark.parametrize("name", TASKS)
def test_golden_arguments(name, film, golden):
    """Each task makes exactly these arguments, in one run."""
    (step,) = plan(film, **TASKS[name]).steps
    golden(name, step)


def test_a_long_film_is_sought_and_a_short_one_read_through(film):
    """By the distance between the pictures: 20 stills of ten seconds are one pass, of an hour three runs of eight inputs."""
    short, long = plan(film, count=20), plan(lasting(film, hours=1), count=20)
    assert [1] == [step.argv.count("-i") for step in short.steps]
    assert [8, 8, 4] == [step.argv.count("-i") for step in long.steps]
    assert [8, 8, 4] == [step.weight for step in long.steps]
    assert "-noaccurate_seek" in long.steps[0].argv
    assert short.artifacts == long.artifacts
    assert "out-%d.jpg" == short.sequence == long.sequence


def test_the_best_of_a_long_film_come_from_key_frames(film):
    """Where the candidates lie far apart only those are decoded, if there are enough; of a short film every picture may be
    one.
    """
    (short,) = plan(film, best=2).steps
    (long,) = plan(lasting(film, hours=1), best=2).steps
    assert ("-skip_frame" in short.argv, short.otherwise) == (False, None)
    assert (("-skip_frame", "nokey"), 2) == (long.argv[2:4], long.least_frames)
    assert long.otherwise is not None
    assert "-skip_frame" not in long.otherwise.argv


@pytest.mark.parametrize(("wide", "high", "most"), [(1280, 720, 8), (3840, 2160, 4), (7680, 4320, 1)])
def test_large_pictures_have_fewer_inputs_in_one_process(film, wide, high, most):
    """Each of them has a decoder with pictures of its own."""
    long = lasting(film, hours=1)
    large = replace(long, video=(replace(long.video[0], coded_width_px=wide, coded_height_px=high),))
    counts = [step.argv.count("-i") for step in plan(large, count=16).steps]
    assert [most] * (16 // most) == counts


def test_what_was_sought_in_vain_is_read_from_the_start(film):
    """By one input, for the same files; nothing is sought before the first picture."""
    (step,) = plan(film, offsets={"offsets": ["0.5s", "9s"]}).steps
    assert step.otherwise is not None
    assert (2, 1, 1) == (step.argv.count("-i"), step.argv.count("-ss"), step.otherwise.argv.count("-i"))
    files = [[each for each in one.argv if isinstance(each, OutputPlace)] for one in (step, step.otherwise)]
    assert files[0] == files[1]
    late = replace(film, video=(replace(film.video[0], start=timedelta(seconds=9)),))
    assert "-ss" not in plan(late, offsets={"offsets": ["9.5s"]}).steps[0].argv


def test_a_video_may_begin_after_the_sound_and_end_before_it(film):
    """Its stills are spread over where there are pictures; times count from the start of the input."""
    late = replace(
        lasting(film, seconds=4), start=timedelta(seconds=1), duration=timedelta(seconds=12), format="mpegts"
    )
    late = replace(late, video=(replace(late.video[0], start=timedelta(seconds=4)),))
    found = selection_of(task(count=2), late)
    assert found.evenly is not None
    assert (4, 6) == found.evenly.moments()
    assert "setpts=PTS-(1000001)" in str(plan(late, count=2).steps[0].argv)
    with pytest.raises(AttemptFailed, match="before its end at 7 s"):
        plan(late, offsets={"offsets": ["7.5s"]})


def test_a_picture_is_held_for_long_only_where_its_end_is_unknown(film):
    """Matroska has one duration for all; where a stream has its own, a film that ends early must not pass."""
    unknown = replace(film, video=(replace(film.video[0], duration=None),))
    assert "stop_duration=1" in str(plan(film, count=2).steps[0].argv)
    assert "stop=-1" in str(plan(unknown, count=2).steps[0].argv)


def test_stills_beyond_their_format_are_refused(film):
    """The width that would do is named."""
    wide = replace(film, video=(replace(film.video[0], width_px=16384, height_px=16),))
    tall = replace(film, video=(replace(film.video[0], width_px=100, height_px=16384),))
    for info, right in ((wide, "16383 or less"), (tall, "99 or less")):
        assert plan(info, count=2, path="%d.png")
        with pytest.raises(AttemptFailed, match=right) as failed:
            plan(info, count=2, path="%d.webp")
        assert "OPTION_INVALID" == failed.value.failure.reason


def test_without_an_index_a_seek_begins_earlier(film):
    """Half a minute before the moment, from where a key frame comes; without a duration nothing is sought."""
    stream = replace(lasting(film, hours=1), format="mpegts")
    argv = plan(stream, offsets={"offsets": ["100s", "10s"]}).steps[0].argv
    assert ["70.000000"] == [argv[at + 1] for at, each in enumerate(argv) if each == "-ss"]
    assert "setpts='PTS-(30000001)+if(gt(STARTPTS,30000001)," in str(argv)
    blurred = replace(stream, video=(replace(stream.video[0], codec="mpeg2video"),))
    assert "-ss" not in plan(blurred, offsets={"offsets": ["100s"]}).steps[0].argv
    raw = replace(stream, duration=None, video=(replace(stream.video[0], duration=None),))
    assert "-ss" not in plan(raw, offsets={"offsets": ["100s"]}).steps[0].argv


def test_every_input_stands_behind_its_whitelists(film):
    """Of each of the inputs of each run."""
    for fields in TASKS.values():
        for step in plan(film, **fields).steps:
            before = len(whitelists.BEFORE_INPUT)
            for at, each in enumerate(step.argv):
                if each == "-i":
                    assert whitelists.BEFORE_INPUT == step.argv[at - before : at]
                    assert InputPlace("main") == step.argv[at + 1]


@given(
    count=st.integers(1, MOST_PICTURES),
    microseconds=st.integers(1, 10**11),
    selection=st.sampled_from(["count", "interval", "best"]),
)
def test_moments_lie_within_the_film(count, microseconds, selection):
    """Evenly, in order, the first at or after 0, the last before the end; as many as the files there will be."""
    info = MediaInfo(format="x", size_bytes=1, video=(_VIDEO,), duration=timedelta(microseconds=microseconds))
    wanted = task()
    if selection == "interval":
        wanted.interval.FromTimedelta(timedelta(microseconds=max(1, microseconds // count + 1)))
    else:
        setattr(wanted, selection, count if selection == "count" else min(count, 100))
    found = selection_of(wanted, info)
    assert found.evenly is not None
    moments = found.evenly.moments()
    assert 0 <= moments[0] <= moments[-1] < Fraction(microseconds, 10**6)
    assert sorted(set(moments)) == list(moments)
    assert found.count <= MOST_PICTURES
    assert (1 if selection != "best" else 12) * found.count == len(moments)


@given(wide=st.integers(1, 8192), source_wide=st.integers(1, 16384), source_high=st.integers(1, 4096))
def test_stills_keep_their_shape_and_are_never_enlarged(wide, source_wide, source_high):
    """To the nearest pixel."""
    source = replace(_VIDEO, width_px=source_wide, height_px=source_high)
    made_wide, made_high = thumbnails.size(wide, source)
    assert (min(wide, source_wide), True) == (made_wide, 1 <= made_high <= source_high)
    assert made_high == 1 or abs(Fraction(made_wide * source_high, source_wide) - made_high) <= Fraction(1, 2)
    assert (source_wide, source_high) == thumbnails.size(0, source)


@pytest.mark.parametrize(
    ("path", "files"),
    [("a/%d.png", ["a/1.png", "a/2.png"]), ("x-%03d-y.webp", ["x-001-y.webp", "x-002-y.webp"]), ("%9d.JPG", None)],
)
def test_names_count_from_one(film, path, files):
    """With as many digits as asked for; where only the worker looks, a wrong pattern is refused in words."""
    if files is not None:
        assert files == [each.path for each in plan(film, path=path, count=2).artifacts]
        return
    with pytest.raises(AttemptFailed, match="%03d"):
        plan(film, path=path, count=2)


def test_an_encoder_that_is_not_there_is_named(film):
    """WebP needs a library."""
    with pytest.raises(AttemptFailed, match="no encoder libwebp") as failed:
        thumbnails.plan(task(path="%d.webp", count=1), {"main": film}, frozenset({"png", "mjpeg"}))
    assert (FailureKind.PERMANENT, "ENCODER_MISSING") == (failed.value.failure.kind, failed.value.failure.reason)


def test_the_interval_that_would_do_is_named(film):
    """Of a film of an hour, at most one picture every 3.6 s."""
    with pytest.raises(AttemptFailed, match=r"3600 pictures.*3\.6 s or more"):
        plan(lasting(film, hours=1), interval="1s")
    assert 1000 == len(plan(lasting(film, hours=1), interval="3.6s").artifacts)


def test_outputs_are_numbered_as_the_artifacts_are(film):
    """Whatever the run they are made in."""
    made = plan(lasting(film, hours=1), count=10)
    names = [each.file_name for step in made.steps for each in step.argv if isinstance(each, OutputPlace)]
    assert [artifact.file_name for artifact in made.artifacts] == names
