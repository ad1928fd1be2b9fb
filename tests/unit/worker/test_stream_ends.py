"""Where streams end: as tags say it, as a part leaves it, and as a result has to have it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.expected import Expected, ExpectedAudio, ExpectedVideo
from telecine_worker.ffmpeg.media_info import VideoStream
from telecine_worker.ffmpeg.mismatch import check_duration
from telecine_worker.ffmpeg.probe import media_info
from telecine_worker.tasks.edit_lists import hidden_pictures
from telecine_worker.tasks.outcome_length import OutcomeLength
from telecine_worker.tasks.seeking import Cut, cut_of
from telecine_worker.tasks.stream_span import span_of
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


@pytest.mark.parametrize(("tag", "whole", "begin", "more", "found"), [
    ("00:00:03.500000000", "10.0", "0.05", {}, 3.45), ("00:00:03.500000000", "5.0", "0.05", {}, None),
    ("nonsense", "10.0", "0.05", {}, None), ("00:00:03.500000000", "10.0", "0.25", {}, None),
    ("00:00:03.500000000", "10.0", "0.25", {"_STATISTICS_WRITING_APP": "mkvmerge"}, 3.5),
])  # fmt: skip
def test_a_tag_of_matroska_is_believed_where_it_is_clear_what_it_counts(tag, whole, begin, more, found):
    """Where the longest is as long as the file: from the start of that, or of the stream, as mkvmerge has it."""
    streams = [
        {"index": 0, "codec_type": "video", "tags": {"DURATION": "00:00:10.000000000"}},
        {"index": 1, "codec_type": "audio", "start_time": begin, "tags": {"DURATION": tag, **more}},
    ]
    info = media_info({"format": {"format_name": "matroska,webm", "duration": whole}, "streams": streams})
    assert (None if found is None else seconds(found)) == info.audio[0].stated_duration
    assert info.audio[0].duration is None


def test_a_tag_of_a_file_that_begins_late_counts_from_its_start():
    """Else the longest would not be as long as the file."""
    streams = [
        {"index": number, "codec_type": kind, "start_time": begin, "tags": {"DURATION": "00:00:09.000000000"}}
        for number, (kind, begin) in enumerate((("video", "5.0"), ("audio", "5.2")))
    ]
    container = {"format_name": "matroska,webm", "duration": "9.0", "start_time": "5.0"}
    info = media_info({"format": container, "streams": streams})
    assert [seconds(4), seconds(3.8)] == [info.video[0].stated_duration, info.audio[0].stated_duration]


@pytest.mark.parametrize(("name", "counted", "whole", "pictures", "sound"), [
    ("asf", {}, 5, None, None), ("avi", {"nb_frames": "9"}, 6, 5, None),
    ("mov,mp4,m4a,3gp,3g2,mj2", {}, 6, None, 5), ("mov,mp4,m4a,3gp,3g2,mj2", {"nb_frames": "9"}, 6, 5, 5),
])  # fmt: skip
def test_some_containers_say_of_a_stream_what_is_about_something_else(name, counted, whole, pictures, sound):
    """ASF of the file, AVI of chunks that are empty, and FFmpeg 5 of all fragments but the last one."""
    said = {"duration": "5.0", **counted}
    streams = [
        {"index": 0, "codec_type": "video", "start_time": "0.0", **said},
        {"index": 1, "codec_type": "audio", "start_time": "1.0", **said},
    ]
    info = media_info({"format": {"format_name": name, "duration": "6.0", "start_time": "0.0"}, "streams": streams})
    found = (info.duration, info.video[0].duration, info.audio[0].duration)
    assert [None if each is None else seconds(each) for each in (whole, pictures, sound)] == list(found)


@pytest.mark.parametrize(("container", "varies", "pictures", "sound"), [
    ("mpegts", False, 0, 0.75), ("matroska,webm", True, 0, 0), ("mov,mp4,m4a,3gp,3g2,mj2", False, 4, 0),
    ("mov,mp4,m4a,3gp,3g2,mj2", True, 2 * 24 * 3600, 0),
])  # fmt: skip
def test_what_is_told_of_an_end_may_be_before_it(film, container, varies, pictures, sound):
    """Of packed sound, and of pictures that MP4 counts as they are decoded; never after a cut, and that is said of a result."""
    video = replace(film.video[0], duration=seconds(6), is_reordered=True, variable_frame_rate=varies)
    audio = replace(film.audio[0], duration=seconds(10))
    info = replace(film, format=container, video=(video,), audio=(audio,), duration=seconds(10))
    assert [seconds(pictures), seconds(sound)] == [span_of(each, info).late for each in (video, audio)]
    part = Part(start=seconds(1), length=seconds(5.5), duration=None)
    assert min(seconds(pictures), seconds(0.5)) == span_of(video, info).within(part).late
    wanted = expected(video=10, audio=9.5)
    assert wanted.audio is not None
    check_duration(film, replace(wanted, audio=replace(wanted.audio, end_late=seconds(0.75))))
    with pytest.raises(AttemptFailed, match=r"or up to 0:00:00.1\d* later"):
        check_duration(film, replace(wanted, audio=replace(wanted.audio, end_late=seconds(0.1))))


def test_where_streams_end_is_asked_of_what_is_decoded(film):
    """Of both beside each other, of the sound also where pictures are copied; not of what is cut, or comes at any distance."""
    whole, cut = part_of(None, film), Part(start=seconds(0), length=seconds(5), duration=seconds(5))
    varying = replace(film.video[0], variable_frame_rate=True)

    def asked(video: VideoStream, codec: str, part: Part, *, copies_sound: bool = False) -> list[str]:
        wanted = media_pb2.Video(codec=codec)
        length = OutcomeLength(wanted, film, video, film.audio[0], part, copies_sound=copies_sound)
        return [end.what for each in length.own_ends().arrivals("main") for end in each.ends]

    assert ["the sound", "the video"] == asked(film.video[0], "h264", whole)
    assert ["the sound"] == asked(film.video[0], "copy", whole) == asked(varying, "h264", whole)
    assert ["the video"] == asked(film.video[0], "h264", whole, copies_sound=True)
    assert [] == asked(film.video[0], "h264", cut)


def test_sound_alone_of_a_transport_stream_begins_when_it_was(film):
    """Without pictures FFmpeg counts from its first packet."""
    audio = replace(film.audio[0], start=seconds(2))
    of_stream = replace(film, format="mpegts", audio=(audio,))
    assert Cut(start=seconds(-2)) == cut_of(part_of(None, film), of_stream, [audio])
    assert Cut() == cut_of(part_of(None, film), of_stream, [*film.video, audio])
    assert Cut() == cut_of(part_of(None, film), replace(of_stream, format="avi"), [audio])


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
