"""SpritesTask to arguments and an index: how many pictures, where each lies, and which are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from support.argv_rules import check_plan
from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.ffmpeg.options import VIDEO_ENCODERS
from telecine_worker.ffmpeg.values import MAX_PICTURE_PX, MAX_SIDE_PX
from telecine_worker.tasks import sprites
from telecine_worker.tasks.plan import Plan


def plan(info: MediaInfo, **fields: Any) -> Plan:
    """With all encoders there."""
    data = {"input": "main", "path": "s/%03d.jpg", "indexPath": "s/i.vtt", **fields}
    made = sprites.plan(json_format.ParseDict(data, media_pb2.SpritesTask()), {"main": info}, frozenset(VIDEO_ENCODERS))
    check_plan(made, demuxers=("concat",))
    return made


def index(made: Plan) -> list[str]:
    """The lines of the index."""
    (script,) = made.scripts
    return ["".join(map(str, line)) for line in script.lines]


def lasting(film: MediaInfo, seconds: float) -> MediaInfo:
    """*film* with another duration."""
    length = timedelta(seconds=seconds)
    return replace(film, duration=length, video=(replace(film.video[0], duration=length),))


def test_golden_arguments(film, golden):
    """An hour by ten seconds: 360 pictures in sheets of 10 x 10."""
    made = plan(lasting(film, 3600))
    (step,) = made.steps
    golden("sprites", step)
    assert ["s/001.jpg", "s/002.jpg", "s/003.jpg", "s/004.jpg", "s/i.vtt"] == [each.path for each in made.artifacts]
    assert (1600, 900) == (made.artifacts[0].video.width_px, made.artifacts[0].video.height_px)


def test_the_index_says_when_and_where(film):
    """A cue for each picture, the last one as long as the film; sheets are named from the folder of the index."""
    lines = index(plan(lasting(film, 25.5), path="a #1/%d.jpg", indexPath="b/c.vtt", columns=2, rows=1))
    assert [
        "WEBVTT",
        "",
        "00:00:00.000 --> 00:00:10.000",
        "../a%20%231/1.jpg#xywh=0,0,160,90",
        "",
        "00:00:10.000 --> 00:00:20.000",
        "../a%20%231/1.jpg#xywh=160,0,160,90",
        "",
        "00:00:20.000 --> 00:00:25.500",
        "../a%20%231/2.jpg#xywh=0,0,160,90",
    ] == lines
    assert "00:00:00.000 --> 00:00:00.001" in index(plan(lasting(film, 0.0001)))[2]
    assert "1.jpg#xywh=0,0,160,90" == index(plan(lasting(film, 1), path="%d.jpg", indexPath="c.vtt"))[-1]


def test_a_sheet_is_no_larger_than_what_there_is_to_show(film):
    """Three pictures make a sheet of three; the grid that was asked for is the most."""
    assert (480, 90) == sheet_size(plan(lasting(film, 30)))
    assert (1600, 180) == sheet_size(plan(lasting(film, 101)))


def sheet_size(made: Plan) -> tuple[int, int]:
    """Of the first sheet."""
    video = made.artifacts[0].video
    assert video is not None
    return video.width_px or 0, video.height_px or 0


@settings(max_examples=60)
@given(
    wide=st.integers(1, 16384), high=st.integers(1, 16384), tile=st.integers(1, 640), columns=st.integers(1, 20),
    rows=st.integers(1, 20), seconds=st.floats(0.01, 5_000),
)  # fmt: skip
def test_every_cue_lies_within_its_sheet(wide, high, tile, columns, rows, seconds):
    """Whatever the shape and length of the film: within, in order, as many as there are intervals, never beyond the limits."""
    video = VideoStream(
        index=0, codec="h264", width_px=wide, height_px=high, coded_width_px=wide, coded_height_px=high,
        duration=timedelta(seconds=seconds),
    )  # fmt: skip
    info = MediaInfo(
        format="mov,mp4,m4a,3gp,3g2,mj2", size_bytes=1, duration=timedelta(seconds=seconds), video=(video,)
    )
    try:
        made = plan(info, tileWidthPx=tile, columns=columns, rows=rows, interval="5s")
    except AttemptFailed as error:
        assert "OPTION_INVALID" == error.failure.reason
        return
    sheet_wide, sheet_high = sheet_size(made)
    assert max(sheet_wide, sheet_high) <= MAX_SIDE_PX
    assert sheet_wide * sheet_high <= MAX_PICTURE_PX
    lines = index(made)[1:]
    assert -(-timedelta(seconds=seconds) // timedelta(seconds=5)) == len(lines) // 3
    begins = [line.split(" --> ")[0] for line in lines[1::3]]
    assert sorted(begins) == begins or seconds > 99 * 3600
    for line in lines[2::3]:
        x, y, w, h = map(int, line.rpartition("=")[2].split(","))
        assert x + w <= sheet_wide
        assert y + h <= sheet_high


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tileWidthPx": 640, "columns": 20, "rows": 20, "interval": "1s"}, "12800x7200 px; at most 8192"),
        ({"interval": "0.0005s"}, "0:00:00.001"),
        ({"interval": "0.1s"}, "36000 pictures, at most 20000 are made; 0.18 s or more"),
        ({"columns": 1, "rows": 1, "interval": "1s"}, "3600 sheets would be made, at most 1000"),
        ({"columns": 21}, "columns is 21; 1 to 20"),
        ({"path": "a.jpg"}, "%03d"),
    ],
)
def test_too_much_is_refused_with_what_would_do(film, fields, words):
    """By field, before anything runs."""
    with pytest.raises(AttemptFailed) as error:
        plan(lasting(film, 3600), **{"columns": 10, "rows": 10, **fields})
    assert "OPTION_INVALID" == error.value.failure.reason
    assert words in error.value.failure.message
