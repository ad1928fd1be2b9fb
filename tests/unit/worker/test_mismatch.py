"""Where a file differs from what was planned, said of what probing found."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.expected import Expected, ExpectedVideo
from telecine_worker.ffmpeg.mismatch import check_streams


def test_pictures_that_are_shown_otherwise_are_not_what_was_planned(film):
    """Turned, or with pixels of another shape. None is not checked; 0 degrees are."""
    found = replace(film, audio=(), other_streams=0)
    file = Expected(path="a.mp4", file_name="o", media_type="video/mp4", formats=(found.format,), exact_streams=True)
    for turned, shape in ((None, None), (0, Fraction(1)), (0, Fraction(101, 100))):
        check_streams(found, replace(file, video=ExpectedVideo(rotation_degrees=turned, sample_aspect_ratio=shape)))
    with pytest.raises(AttemptFailed, match="it is turned by 0°, planned was 90°"):
        check_streams(found, replace(file, video=ExpectedVideo(rotation_degrees=90)))
    with pytest.raises(AttemptFailed, match="the shape of its pixels is 1, planned was 2;"):
        check_streams(found, replace(file, video=ExpectedVideo(sample_aspect_ratio=Fraction(2))))
