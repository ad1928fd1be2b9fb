"""The pictures that a task needs of an input."""

from __future__ import annotations

from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream


def first_video(name: str, info: MediaInfo, *, wanted_for: str) -> VideoStream:
    """Of input *name*. Raises AttemptFailed INPUT_MISSING_STREAM, and INPUT_INVALID where its size cannot be told."""
    if not info.video:
        raise permanent("INPUT_MISSING_STREAM", f"input {name} has no video, which {wanted_for} needs")
    if not info.video[0].width_px or not info.video[0].height_px:
        raise permanent("INPUT_INVALID", f"the size of the video of input {name} cannot be told")
    return info.video[0]
