"""The size of what comes out."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.media_info import VideoStream
from telecine_worker.tasks import picture


@pytest.mark.parametrize(
    ("source", "wanted", "made"),
    [
        ((1280, 720), {}, (1280, 720)),
        ((1280, 720), {"height_px": 360}, (640, 360)),
        ((1280, 720), {"width_px": 854}, (854, 480)),
        ((1280, 720), {"height_px": 1080}, (1280, 720)),
        ((1280, 720), {"height_px": 1080, "allow_upscale": True}, (1920, 1080)),
        ((1280, 720), {"width_px": 640, "height_px": 640}, (640, 640)),
        ((1280, 720), {"width_px": 1920, "height_px": 1080}, (1280, 720)),
        ((321, 241), {}, (320, 240)),
        ((720, 1280), {"height_px": 640}, (360, 640)),
        ((1, 1), {}, (2, 2)),
        ((1920, 1080), {"height_px": 1}, (2, 2)),
        ((4096, 2), {"width_px": 64}, (64, 2)),
    ],
)
def test_sizes(film, source, wanted, made):
    """The other side follows, nothing is enlarged unasked, all is even and at least 2."""
    stream = replace(film.video[0], width_px=source[0], height_px=source[1])
    video = media_pb2.Video(codec="h264", **wanted)
    assert made == picture.size(video, stream)


@pytest.mark.parametrize(
    ("length", "made"), [(0, 2), (1, 2), (2, 2), (3, 2), (5, 4), (Fraction(51, 10), 6), (Fraction(49, 10), 4)]
)
def test_even(length, made):
    """The nearest even number, downwards in the middle."""
    assert made == picture.even(length)


def test_nothing_is_made_larger_than_inputs_may_be():
    """The other side follows, however far; the message says what would be right."""
    stream = VideoStream(index=0, codec="h264", width_px=10, height_px=1000, coded_width_px=10, coded_height_px=1000)
    for wanted in ({"width_px": 8192}, {"width_px": 656, "height_px": 0}):
        with pytest.raises(
            AttemptFailed, match=r"OPTION_INVALID: .* of an input of 10x1000 px; at most 16384 px on a side"
        ):
            picture.size(media_pb2.Video(codec="h264", allow_upscale=True, **wanted), stream)
    assert (8192, 8192) == picture.size(
        media_pb2.Video(codec="h264", allow_upscale=True, width_px=8192, height_px=8192), stream
    )


def test_what_is_interlaced_is_deinterlaced_before_anything_else(film):
    """Asked or not; what is not interlaced where it is asked. Lying fields cannot be: FFmpeg turns them first."""
    fields, lying = (replace(film.video[0], field_order="tb", rotation_degrees=degrees) for degrees in (0, 90))
    assert [[], 1, 1, 1] == [
        picture.deinterlacing(film.video[0]),
        len(picture.deinterlacing(film.video[0], asked=True)),
        len(picture.deinterlacing(fields)),
        len(picture.deinterlacing(fields, asked=True)),
    ]
    with pytest.raises(AttemptFailed, match="UNSUPPORTED_OPTION: the input is interlaced, and to be turned by 90°"):
        picture.deinterlacing(lying)
