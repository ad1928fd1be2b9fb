"""Where streams end: as tags say it, as a part leaves it, and as a result has to have it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.expected import Expected, ExpectedAudio, ExpectedVideo
from telecine_worker.ffmpeg.mismatch import check_duration
from telecine_worker.ffmpeg.probe import media_info
from telecine_worker.tasks.edit_lists import hidden_pictures
from telecine_worker.tasks.seeking import Cut, cut_of
from telecine_worker.tasks.trim import Part, part_of


def seconds(value: float) -> timedelta:
    """For short."""
    return timedelta(seconds=value)


def expected(**ends: float) -> Expected:
    """Ten seconds, of which *ends* are where the streams are to end."""
    tolerance = seconds(0.15)
    return Expected(
        path="o.mp4", file_name="o.mp4", media_type="video/mp4", formats=("mov",), exact_streams=True,
        duration=seconds(10), tolerance=tolerance,
        video=ExpectedVideo(end=seconds(ends["video"]), end_tolerance=tolerance),
        audio=ExpectedAudio(end=seconds(ends["audio"]), end_tolerance=tolerance),
    )  # fmt: skip


def test_each_stream_has_to_end_where_it_was_planned(film):
    """Not the longest alone, and counted from where the file begins; which one is said."""
    check_duration(film, expected(video=10, audio=10.01))
    late = replace(film, video=(replace(film.video[0], start=seconds(5), duration=seconds(5)),))
    check_duration(late, expected(video=10, audio=10.01))
    with pytest.raises(AttemptFailed, match=r"its sound ends at 0:00:10.01\d*, planned was 0:00:09 ± 0:00:00.15"):
        check_duration(film, expected(video=10, audio=9))
    with pytest.raises(AttemptFailed, match=r"its pictures end at 0:00:10, planned was 0:00:08\.500000"):
        check_duration(film, expected(video=8.5, audio=10))


def test_a_file_that_begins_late_is_as_long_as_its_streams(film):
    """What a container says counts from 0 in some builds, from the first packet in others."""
    for said in (10.0, 15.0):
        begun = replace(
            film, start=seconds(5), duration=seconds(said),
            video=(replace(film.video[0], start=seconds(5)),), audio=(replace(film.audio[0], start=seconds(5)),),
        )  # fmt: skip
        check_duration(begun, expected(video=10, audio=10))


@pytest.mark.parametrize(("tag", "whole", "found"), [
    ("00:00:03.500000000", "10.0", 3.25), ("00:00:03.500000000", "5.0", None), ("nonsense", "10.0", None),
])  # fmt: skip
def test_a_tag_of_matroska_is_believed_where_the_longest_is_as_long_as_the_file(tag, whole, found):
    """It counts from the start of the file, the duration of a stream from its own."""
    streams = [
        {"index": 0, "codec_type": "video", "tags": {"DURATION": "00:00:10.000000000"}},
        {"index": 1, "codec_type": "audio", "start_time": "0.25", "tags": {"DURATION": tag}},
    ]
    info = media_info({"format": {"format_name": "matroska,webm", "duration": whole}, "streams": streams})
    assert (None if found is None else seconds(found)) == info.audio[0].stated_duration
    assert info.audio[0].duration is None


@pytest.mark.parametrize(("frames", "hidden"), [(300, 0), (297, 0), (303, 0), (340, 40), (0, 0)])
def test_hidden_pictures_are_those_beyond_the_duration(film, frames, hidden):
    """A tenth of a second is what durations are rounded by."""
    assert hidden == hidden_pictures(replace(film.video[0], frame_count=frames, frame_rate=Fraction(30)))


def test_a_part_does_not_believe_an_estimated_length(film):
    """It may begin after it, and its end is kept; what says how long it is bounds both."""
    trim = media_pb2.Trim()
    trim.start.FromSeconds(20)
    trim.end.FromSeconds(30)
    raw = replace(film, format="aac", video=())
    part = part_of(trim, raw)
    assert (seconds(20), seconds(10), seconds(10)) == (part.start, part.length, part.duration)
    with pytest.raises(AttemptFailed, match="is not before the end of the input"):
        part_of(trim, film)


@pytest.mark.parametrize(("container", "start", "wanted"), [
    ("matroska,webm", 30, Cut(sought=seconds(20), start=seconds(10), length=seconds(5))),
    ("matroska,webm", 4, Cut(start=seconds(4), length=seconds(5))),
    ("mpegts", 30, Cut(start=seconds(28), length=seconds(5))),
    ("mpegts", 1, Cut(start=seconds(-1), length=seconds(5))),
    ("avi", 30, Cut(start=seconds(30), length=seconds(5))),
])  # fmt: skip
def test_reading_begins_before_the_part_where_there_is_an_index(film, container, start, wanted):
    """Else at the start, from where a transport stream counts by the streams that are used: here the sound begins 2 s late."""
    audio = replace(film.audio[0], start=seconds(2))
    part = Part(start=seconds(start), length=seconds(5), duration=None)
    assert wanted == cut_of(part, replace(film, format=container), [audio])


def test_a_cut_is_the_first_of_the_filters():
    """By whole ticks; before the first packet nothing is cut off, and times grow."""
    cut = Cut(start=seconds(1.5), length=seconds(2))
    assert ["trim=start=1.500000:end=3.500000", "setpts='PTS-round(1.500000/TB)'"] == cut.pictures()
    assert ["atrim=end=1.000000", "asetpts='PTS-round(-1.000000/TB)'"] == Cut(
        start=seconds(-1), length=seconds(2)
    ).sound()
    assert [] == Cut().sound() == Cut().options()
