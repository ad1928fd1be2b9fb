"""Inputs whose length nobody can say, and how far those reach at the least that say one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from telecine_worker.ffmpeg import chained_ogg
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, SubtitleStream, VideoStream
from telecine_worker.ffmpeg.probe import media_info
from telecine_worker.tasks.least_length import least_length

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(("name", "seconds", "is_known"), [
    ("mpegts", 10, True), ("mpegts", 39, True), ("mpegts", 41, False), ("avi", 41, False), ("flv", 41, True),
])  # fmt: skip
def test_a_length_that_does_not_fit_into_the_file_is_none(name: str, seconds: int, is_known: bool) -> None:
    """By the bit rates of its streams: the times of a recording jump, and an AVI that was written to a pipe says anything."""
    streams = [
        {"index": 0, "codec_type": "video", "duration": str(seconds), "nb_frames": "9", "bit_rate": "N/A"},
        {"index": 1, "codec_type": "audio", "duration": str(seconds), "bit_rate": "8000"},
    ]
    info = media_info({"format": {"format_name": name, "size": "10000", "duration": str(seconds)}, "streams": streams})
    assert (seconds * SECOND if is_known else None) == info.duration
    assert is_known == bool(info.video[0].duration and info.video[0].frame_count)


def page(kind: int) -> bytes:
    return b"OggS\x00" + bytes([kind]) + bytes(20) + bytes([2, 255, 10]) + bytes(265)


@pytest.mark.parametrize(("pages", "chained"), [
    ([2, 0, 4], False), ([2, 2, 0, 0, 4], False), ([2, 0, 4, 2, 0, 4], True), ([2, 0, 2], True), ([2], False), ([], False),
])  # fmt: skip
def test_a_stream_that_begins_after_others_have_gone_on_is_a_link(
    tmp_path: Path, pages: list[int], chained: bool
) -> None:
    """Whether or not the ones before it have ended; several may begin together, and a cut one is read as far as it goes."""
    data = b"".join(map(page, pages))
    for content, expected in ((data, chained), (data + b"junk", chained), (data[:-300], chained and pages[-1] != 2)):
        (tmp_path / "file").write_bytes(content)
        with (tmp_path / "file").open("rb") as file:
            assert expected == chained_ogg.is_chained(file.fileno())


VIDEO = VideoStream(
    index=0, codec="h264", width_px=2, height_px=2, coded_width_px=2, coded_height_px=2, frame_rate=Fraction(10)
)
SOUND = AudioStream(index=1, codec="aac", sample_rate_hz=48000, channel_count=1)
BOTH = MediaInfo(format="flv", size_bytes=1, duration=20 * SECOND, video=(VIDEO,), audio=(SOUND,))


@pytest.mark.parametrize(("info", "streams", "seconds"), [
    (BOTH, (VIDEO, SOUND), 19),
    (BOTH, (SOUND,), None),
    (replace(BOTH, subtitles=(SubtitleStream(index=2, codec="srt"),)), (VIDEO, SOUND), None),
    (BOTH, (replace(VIDEO, variable_frame_rate=True), SOUND), 18),
    (BOTH, (replace(VIDEO, duration=9 * SECOND), replace(SOUND, duration=10 * SECOND)), 9),
    (BOTH, (replace(SOUND, start=2 * SECOND, duration=10 * SECOND),), 11.5),
    (replace(BOTH, format="aac", video=()), (SOUND,), None),
    (replace(BOTH, duration=None), (VIDEO, SOUND), None),
    (BOTH, (), None),
])  # fmt: skip
def test_how_far_an_input_reaches_at_the_least(
    info: MediaInfo, streams: tuple[VideoStream | AudioStream, ...], seconds: float | None
) -> None:
    """By its streams, else by the container where all are read; less what containers and pictures that look ahead take."""
    assert (None if seconds is None else seconds * SECOND) == least_length(info, streams)
