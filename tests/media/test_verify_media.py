"""Verification finds what exit code 0 hides."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg.expected import Expected, ExpectedAudio, ExpectedVideo
from telecine_worker.ffmpeg.run import Surroundings
from telecine_worker.ffmpeg.stop_order import StopOrder
from telecine_worker.ffmpeg.verify import Verified, verify

RIGHT = Expected(
    path="film.mp4",
    file_name="out-0.mp4",
    media_type="video/mp4",
    formats=("mov,mp4,m4a,3gp,3g2,mj2",),
    exact_streams=True,
    video=ExpectedVideo(codec="h264", width_px=320, height_px=180, pixel_format="yuv420p", frame_count=60),
    audio=ExpectedAudio(codec="aac", sample_rate_hz=48000, channel_count=1),
    duration=timedelta(seconds=2),
    tolerance=timedelta(milliseconds=100),
    moov_first=True,
)

Check = Callable[..., Awaitable[Verified]]


@pytest.fixture
def check(toolchain) -> Check:
    """Verify a file against what is expected."""

    async def run(path: Path, expected: Expected, encoded_frames: int | None = None) -> Verified:
        fd = os.open(path, os.O_RDONLY)
        around = Surroundings(toolchain=toolchain, marker="verify", stop=StopOrder())
        try:
            return await verify(
                around,
                fd,
                expected,
                encoded_frames=encoded_frames,
                on_block=lambda _: None,
                on_usage=lambda _: None,
            )
        finally:
            os.close(fd)

    return run


async def test_a_good_file_passes(check, clips):
    """And its probed values come back."""
    verified = await check(clips.film(), RIGHT, 60)
    assert 60 == verified.info.video[0].frame_count


def video(**fields: Any) -> Expected:
    """RIGHT with other expectations of its video."""
    assert RIGHT.video is not None
    return replace(RIGHT, video=replace(RIGHT.video, **fields))


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (video(codec="hevc"), "video codec is h264, planned was hevc"),
        (video(width_px=322), "width is 320, planned was 322"),
        (video(height_px=2), "height"),
        (video(pixel_format="yuv444p"), "pixel format"),
        (video(frame_count=62, frame_tolerance=1), "60 pictures, planned was 62 ± 1"),
        (replace(RIGHT, video=None), "1 video streams, planned was 0"),
        (replace(RIGHT, audio=None), "1 audio streams, planned was 0"),
        (replace(RIGHT, audio=ExpectedAudio(codec="mp3")), "audio codec is aac"),
        (replace(RIGHT, audio=ExpectedAudio(sample_rate_hz=44100)), "sample rate is 48000"),
        (replace(RIGHT, audio=ExpectedAudio(channel_count=2)), "number of channels is 1"),
        (replace(RIGHT, duration=timedelta(seconds=2.2)), "lasts 0:00:02"),
        (replace(RIGHT, formats=("matroska,webm",)), "its container is mov"),
    ],
)
async def test_what_is_not_as_planned_is_found(check, clips, expected, said):
    """Each difference alone, named with both values."""
    with pytest.raises(AttemptFailed) as error:
        await check(clips.film(), expected)
    assert (FailureKind.UNKNOWN, "VERIFICATION_FAILED") == (error.value.failure.kind, error.value.failure.reason)
    assert said in error.value.failure.message


async def test_fewer_pictures_than_were_encoded_are_found(check, clips):
    """What the encoder counted has to be in the file, to the frame."""
    with pytest.raises(AttemptFailed, match="60 pictures, 61 were encoded"):
        await check(clips.film(), RIGHT, 61)


async def test_an_index_at_the_end_is_found(check, clips):
    """moov after mdat."""
    late = clips.make("late-index.mp4", "-i", str(clips.film()), "-c", "copy", "-movflags", "0")
    with pytest.raises(AttemptFailed, match="moov"):
        await check(late, RIGHT)


async def test_further_streams_are_found(check, clips, tmp_path):
    """A subtitle track that nobody planned."""
    (tmp_path / "s.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    with_text = clips.make(
        "text.mp4",
        *("-i", str(clips.film()), "-i", str(tmp_path / "s.srt"), "-map", "0", "-map", "1", "-c", "copy"),
        *("-c:s", "mov_text", "-movflags", "+faststart"),
    )
    with pytest.raises(AttemptFailed, match="streams besides video and audio"):
        await check(with_text, RIGHT)


@pytest.mark.parametrize("place", [0.5, 0.9])
async def test_damaged_data_is_found(check, clips, tmp_path, place):
    """Packets overwritten in the middle or near the end: probing sees nothing, decoding does.

    (Bytes within one picture may well decode to other, valid pictures: nothing can find those.)
    """
    data = bytearray(clips.film().read_bytes())
    at = int(len(data) * place)
    data[at : at + 8000] = b"\xa5" * 8000
    (tmp_path / "damaged.mp4").write_bytes(data)
    with pytest.raises(AttemptFailed, match="decode"):
        await check(tmp_path / "damaged.mp4", RIGHT)


async def test_the_end_of_a_long_file_is_decoded(check, clips, tmp_path):
    """Damage in the last seconds of a file that is not decoded whole."""
    film = clips.film(size="64x64", seconds=30, rate="10")
    expected = replace(video(width_px=64, height_px=64, frame_count=300), duration=timedelta(seconds=30))
    await check(film, expected)
    data = bytearray(film.read_bytes())
    data[-20000:-15000] = b"\xa5" * 5000
    (tmp_path / "damaged.mp4").write_bytes(data)
    with pytest.raises(AttemptFailed, match="decode"):
        await check(tmp_path / "damaged.mp4", expected)


async def test_an_empty_file_is_found(check, tmp_path):
    """For good: nothing was written."""
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(AttemptFailed, match="OUTPUT_EMPTY"):
        await check(tmp_path / "empty.mp4", RIGHT)


async def test_pictures_that_share_a_time_are_found(check, clips):
    """Every second one; before anything is decoded, so that it is also found where nothing will be."""
    doubled = clips.make(
        "doubled.mp4",
        *("-i", str(clips.film()), "-map", "0:v", "-c", "copy", "-bsf:v", "setts=dts=N*512:pts=2048+floor(N/2)*1024"),
        *("-movflags", "+faststart"),
    )
    with pytest.raises(AttemptFailed, match="stream 0 have the same time"):
        await check(doubled, replace(RIGHT, audio=None, duration=None, encoded=True))


async def test_all_of_a_long_file_is_decoded_where_that_is_asked_for(toolchain, clips):
    """Damage in the middle of 40 seconds is beyond both edges; what is asked for by the spec is whole."""
    film = clips.film(size="64x64", seconds=40, rate="4")
    harmed = clips.folder / "harmed-in-the-middle.mp4"
    data = bytearray(film.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = b"\xa5" * 2000
    harmed.write_bytes(data)
    around = Surroundings(toolchain=toolchain, marker="verify", stop=StopOrder())
    expected = Expected(path="a.mp4", file_name="a", media_type="video/mp4", formats=RIGHT.formats)
    with harmed.open("rb") as file:
        quiet = {"encoded_frames": None, "on_block": lambda _: None, "on_usage": lambda _: None}
        await verify(around, file.fileno(), expected, **quiet)
        with pytest.raises(AttemptFailed, match="does not decode"):
            await verify(around, file.fileno(), expected, **quiet, whole=True)
