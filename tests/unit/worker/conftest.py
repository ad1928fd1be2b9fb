"""Sources as probing describes them, and golden argument lists."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.ffmpeg.options import AUDIO_ENCODERS, VIDEO_ENCODERS
from telecine_worker.tasks.plan import Step

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def film() -> MediaInfo:
    """Ten seconds of 1280x720 at 30 frames per second with stereo sound; a cover picture is stream 0."""
    video = VideoStream(
        index=1,
        codec="h264",
        width_px=1280,
        height_px=720,
        coded_width_px=1280,
        coded_height_px=720,
        frame_rate=Fraction(30),
        pixel_format="yuv420p",
        frame_count=300,
        duration=timedelta(seconds=10),
    )
    audio = AudioStream(index=2, codec="aac", sample_rate_hz=48000, channel_count=2, duration=timedelta(seconds=10.01))
    return MediaInfo(
        format="mov,mp4,m4a,3gp,3g2,mj2",
        size_bytes=1_000_000,
        duration=timedelta(seconds=10.01),
        video=(video,),
        audio=(audio,),
        other_streams=1,
    )


@pytest.fixture(scope="session")
def encoders() -> frozenset[str]:
    """All that any task may use."""
    return frozenset({*VIDEO_ENCODERS, *AUDIO_ENCODERS})


@pytest.fixture(scope="session")
def golden() -> Callable[[str, Step], None]:
    """Compare a step with golden/NAME.argv, one argument a line. TELECINE_TEST_GOLDEN_WRITE=1 writes it anew."""

    def check(name: str, step: Step) -> None:
        path = GOLDEN / f"{name}.argv"
        text = "".join(f"{argument}\n" for argument in step.argv)
        if os.environ.get("TELECINE_TEST_GOLDEN_WRITE"):
            path.write_text(text)
        assert text == path.read_text()

    return check
