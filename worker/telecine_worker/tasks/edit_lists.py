"""Pictures that a file has and does not show: MP4 cut between key frames keeps those from the key frame on, and hides them."""

from __future__ import annotations

import math
from datetime import timedelta
from fractions import Fraction

from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.media_info import VideoStream
from telecine_worker.tasks.containers import Container

# Muxers that write edit lists.
_ABLE = frozenset({"mp4", "mov", "ipod"})
# What has such lists.
_LISTING = "mov,mp4,m4a,3gp,3g2,mj2"


def hidden_pictures(pictures: VideoStream) -> int:
    """How many; below 0, how many more are shown than there are. 0 where one of both is not known."""
    if not pictures.frame_count or pictures.duration is None or pictures.frame_rate is None:
        return 0
    shown = round(pictures.frame_rate * Fraction(pictures.duration // timedelta(microseconds=1), 10**6))
    rounded = max(1, math.ceil(pictures.frame_rate / 10))
    hidden = pictures.frame_count - shown
    return hidden if abs(hidden) > rounded else 0


def listed_pictures(pictures: VideoStream, source: str) -> int:
    """How many an edit list of the format *source* hides. In others the header of a file that was cut off counts pictures that
    are not there; where the distances vary, those that are said are not of pictures as they are shown.
    """
    is_sure = source == _LISTING and not pictures.variable_frame_rate
    return max(0, hidden_pictures(pictures)) if is_sure else 0


def check_copied(pictures: VideoStream, source: str, container: Container) -> None:
    """Raise AttemptFailed where they would be seen in a copy of the format *source*."""
    hidden = listed_pictures(pictures, source)
    if hidden and container.muxer not in _ABLE:
        raise permanent(
            "OPTION_INVALID",
            f"video.codec copy: the input has {hidden} pictures that its edit list hides, and .{container.extension} would "
            "show; mp4, mov, or another codec would be right",
        )
