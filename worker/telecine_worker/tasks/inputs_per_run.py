"""How many inputs one process of FFmpeg may have: each has a decoder with its own memory, about 12 bytes a pixel."""

from __future__ import annotations

from collections.abc import Iterable

from telecine_worker.ffmpeg.media_info import VideoStream

MOST_INPUTS = 8
# Four of 3840x2160.
MOST_PIXELS = 4 * 3840 * 2160


def inputs_per_run(videos: Iterable[VideoStream]) -> int:
    """At least 1; where they differ, as if all were the largest of *videos*."""
    largest = max((video.coded_width_px * video.coded_height_px for video in videos), default=0)
    return max(1, min(MOST_INPUTS, MOST_PIXELS // max(1, largest)))
