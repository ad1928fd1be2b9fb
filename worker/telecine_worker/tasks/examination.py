"""What is copied, decoded: a copy has the faults of its source, and copying hears nothing of them."""

from __future__ import annotations

from collections.abc import Sequence

from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.tasks.least_length import least_length
from telecine_worker.tasks.plan import Argument, InputPlace, Step

# Decoding takes so much of the time that copying and decoding the copy take.
WEIGHT = 0.4


def examination(
    name: str, info: MediaInfo, streams: Sequence[VideoStream | AudioStream], *, intact: bool = False
) -> tuple[Step, ...]:
    """Of *streams* of the input *name*, from its beginning to its end, whatever part of it is copied; nothing where there are
    none. With *intact* damage ends it, whatever the damage policy.
    """
    if not streams:
        return ()
    argv: list[Argument] = ["-max_error_rate", "1", *whitelists.BEFORE_INPUT, "-i", InputPlace(name)]
    for stream in streams:
        argv += ["-map", f"0:{stream.index}"]
    argv += ["-map_metadata", "-1", "-map_chapters", "-1", "-fps_mode", "passthrough", "-f", "null", "-"]
    step = Step(
        argv=tuple(argv),
        phase=Phase.ANALYZING,
        weight=WEIGHT,
        duration=info.duration,
        least_duration=least_length(info, streams),
        intact=intact,
    )
    return (step,)
