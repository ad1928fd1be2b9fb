"""Where recordings begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.ffmpeg.recording_start import begins_between

START = b"\x00\x00\x01"
PES = START + b"\xe0" + bytes(9)


@pytest.mark.parametrize(("codec", "container", "units", "between"), [
    ("h264", "mpegts", [b"\x09\xf0", b"\x67\x64", b"\x68\xee", b"\x65\x88"], False),
    ("h264", "mpegts", [b"\x09\xf0", b"\x41\x9a", b"\x67\x64", b"\x65\x88"], True),
    ("h264", "mpegts", [b"\x01\x9a"], True),
    ("h264", "flv", [b"\x41\x9a"], False),
    ("hevc", "mpegts", [b"\x46\x01", b"\x40\x01", b"\x42\x01", b"\x44\x01", b"\x26\x01"], False),
    ("hevc", "mpegts", [b"\x46\x01", b"\x02\x01", b"\x42\x01"], True),
    ("mpeg2video", "mpeg", [b"\xb3\x00", b"\xb8\x00", b"\x00\x00", b"\x01\x00"], False),
    ("mpeg2video", "mpeg", [b"\x05\x00", b"\x00\x12", b"\xb3\x00"], True),
    ("mpeg2video", "mpeg", [], False),
    ("mpeg4", "mpegts", [b"\x00\x00"], False),
])  # fmt: skip
def test_a_recording_may_begin_with_pictures(
    tmp_path: Path, codec: str, container: str, units: list[bytes], between: bool
) -> None:
    """Before what says how to decode them, by the start codes of each codec."""
    video = VideoStream(index=0, codec=codec, width_px=2, height_px=2, coded_width_px=2, coded_height_px=2)
    (tmp_path / "file").write_bytes(PES + b"".join(START + unit + b"\xff" * 40 for unit in units))
    with (tmp_path / "file").open("rb") as file:
        assert between == begins_between(file.fileno(), MediaInfo(format=container, size_bytes=1, video=(video,)))
        assert not begins_between(file.fileno(), MediaInfo(format=container, size_bytes=1))
