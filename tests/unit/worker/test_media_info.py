"""ffprobe's JSON to a MediaInfo, with what is missing, odd or wrong in real files."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg import probe
from telecine_worker.ffmpeg.media_info import MediaInfo


def info(*streams: dict[str, Any], **container: Any) -> MediaInfo:
    """From these streams, numbered in order, and these fields of the container."""
    numbered = [{"index": index, **stream} for index, stream in enumerate(streams)]
    return probe.media_info({"format": {"format_name": "mov", "size": "10", **container}, "streams": numbered})


def video(**fields: Any) -> dict[str, Any]:
    """A video stream of 720x576."""
    return {"codec_type": "video", "codec_name": "h264", "width": 720, "height": 576, **fields}


AUDIO = {"codec_type": "audio", "codec_name": "aac", "sample_rate": "48000", "channels": 2}


def test_a_cover_picture_is_no_video():
    """It is counted among the other streams; the film behind it is the first video."""
    found = info(video(disposition={"attached_pic": 1}, codec_name="mjpeg"), video(), AUDIO)
    assert [(1, "h264")] == [(stream.index, stream.codec) for stream in found.video]
    assert 1 == found.other_streams


@pytest.mark.parametrize(
    ("fields", "shown", "rotation"),
    [
        ({}, (720, 576), 0),
        ({"sample_aspect_ratio": "64:45"}, (1024, 576), 0),
        ({"sample_aspect_ratio": "0:1"}, (720, 576), 0),
        ({"side_data_list": [{"rotation": -90}]}, (576, 720), 90),
        ({"side_data_list": [{"other": 1}, {"rotation": 90}]}, (576, 720), 270),
        ({"side_data_list": [{"rotation": 180}]}, (720, 576), 180),
        ({"tags": {"rotate": "90"}}, (576, 720), 90),
        ({"side_data_list": [{"rotation": -90}], "sample_aspect_ratio": "64:45"}, (576, 1024), 90),
    ],
)
def test_the_size_is_as_shown(fields, shown, rotation):
    """After sample aspect ratio and rotation, which side data counts the other way round."""
    stream = info(video(**fields)).video[0]
    assert (*shown, rotation) == (stream.width_px, stream.height_px, stream.rotation_degrees)
    assert (720, 576) == (stream.coded_width_px, stream.coded_height_px)


@pytest.mark.parametrize(
    ("average", "fitting", "rate", "variable"),
    [
        ("30/1", "30/1", Fraction(30), False),
        ("30000/1001", "30/1", Fraction(30000, 1001), False),
        ("500/29", "30/1", Fraction(500, 29), True),
        ("0/0", "25/1", Fraction(25), False),
        ("0/0", "0/0", None, False),
    ],
)
def test_frame_rates(average, fitting, rate, variable):
    """The average; variable when all timestamps need a much finer one."""
    stream = info(video(avg_frame_rate=average, r_frame_rate=fitting)).video[0]
    assert (rate, variable) == (stream.frame_rate, stream.variable_frame_rate)


@pytest.mark.parametrize(
    ("container", "stream", "duration"),
    [
        ({"duration": "2.5"}, {"duration": "2.0"}, timedelta(seconds=2.5)),
        ({}, {"duration": "2.0"}, timedelta(seconds=2)),
        ({"duration": "N/A"}, {"nb_frames": "50", "avg_frame_rate": "25/1"}, timedelta(seconds=2)),
        ({}, {}, None),
        ({"duration": "0.000000"}, {}, None),
        ({"format_name": "png_pipe", "duration": "0.04"}, {}, None),
    ],
)
def test_durations(container, stream, duration):
    """The container's, else a stream's, else frames over rate, else unknown; pictures have none."""
    assert duration == info(video(**stream), **container).duration


def test_dv_is_interlaced_where_its_container_has_no_word_for_it():
    """AVI has none; MOV has, and other codecs are not."""
    kinds = ({"codec_name": "dvvideo"}, {"codec_name": "dvvideo", "field_order": "progressive"}, {})
    assert [True, False, False] == [info(video(**each)).video[0].is_interlaced for each in kinds]


def test_what_is_unknown_stays_unknown():
    """N/A, und and unspecified are no values."""
    found = info(
        video(nb_frames="N/A", color_transfer="unknown", field_order="unknown"),
        {**AUDIO, "tags": {"language": "und"}, "sample_rate": "N/A"},
        {"codec_type": "subtitle", "codec_name": "subrip", "tags": {"language": "deu"}},
        {"codec_type": "data"},
        bit_rate="N/A",
        start_time="N/A",
    )
    assert (0, "", 0) == (found.video[0].frame_count, found.video[0].color_transfer, found.bitrate_bps)
    assert ("", 0) == (found.audio[0].language, found.audio[0].sample_rate_hz)
    assert ("deu", 1, timedelta(0)) == (found.subtitles[0].language, found.other_streams, found.start)


@pytest.mark.parametrize(
    ("streams", "container", "said"),
    [
        ([video(width=15000, height=15000)], {}, "15000x15000"),
        ([video(width=20000, height=2)], {}, "20000x2"),
        ([video(width=1024, height=1024, sample_aspect_ratio="100:1")], {}, "102400x1024"),
        ([video(avg_frame_rate="90000/1")], {}, "90000 frames per second"),
        ([{**AUDIO, "channels": 65}], {}, "65 channels"),
        ([AUDIO] * 65, {}, "65 streams"),
        ([AUDIO], {"duration": "200000"}, "at most 2 days"),
    ],
)
def test_bombs_are_refused_when_probed(streams, container, said):
    """Pixels, rates, channels, streams and durations have limits, and the message has both numbers."""
    data = {"streams": streams}
    with pytest.raises(AttemptFailed, match="INPUT_OVER_LIMIT") as error:
        probe._refuse_beyond_limits(info(*streams, **container), data, "input main")
    assert said in error.value.failure.message
