"""The size of what comes out."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from telecine.v1 import media_pb2
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


def test_a_new_rate_is_made_by_a_filter(film):
    """Before scaling, so that dropped frames are not scaled."""
    wanted: dict[str, Any] = {"frame_rate": media_pb2.Rational(numerator=24000, denominator=1001)}
    chain = picture.filters(media_pb2.Video(codec="h264", **wanted), film.video[0])
    assert "fps=24000/1001,scale=1280:720:flags=bicubic:out_range=tv,setsar=1,format=yuv420p" == chain
