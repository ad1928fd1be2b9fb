"""Whether stills are what was planned: each is there with its size, and one run of ffmpeg decodes them all.

Their number may be a thousand: a process for each would take minutes. The sequence is read by its own names in the
attempt's own folder, so that image2, which inputs may not use because it reads whatever names match, is safe here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.ffmpeg.mismatch import not_as_planned
from telecine_worker.ffmpeg.picture_header import size_px
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Block
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY, Surroundings, run_ffmpeg

_DECODERS = "mjpeg,png,webp"


def check_picture(fd: int, expected: Expected) -> MediaInfo:
    """Compare the header of the open file *fd* with what was planned. Raises AttemptFailed VERIFICATION_FAILED."""
    video = expected.video
    assert video is not None  # noqa: S101 - planners of stills always say it
    found = size_px(fd)
    if found is None:
        raise not_as_planned(expected, "it has no header of a picture")
    wide, high = found
    if found != (video.width_px, video.height_px):
        raise not_as_planned(expected, f"it has {wide}x{high} px, planned was {video.width_px}x{video.height_px}")
    stream = VideoStream(
        index=0,
        codec=video.codec,
        width_px=wide,
        height_px=high,
        coded_width_px=wide,
        coded_height_px=high,
        pixel_format=video.pixel_format,
        frame_count=1,
    )
    return MediaInfo(format=expected.formats[0], size_bytes=os.fstat(fd).st_size, video=(stream,))


def runs(pictures: Sequence[Expected], pattern: str) -> list[tuple[int, Sequence[Expected]]]:
    """*pictures* by numbers without a gap, each run with the first number: those that are not there are passed over."""
    before, _, after = pattern.partition("%d")
    found: dict[int, tuple[int, list[Expected]]] = {}
    for place, each in enumerate(pictures):
        number = int(each.file_name.removeprefix(before).removesuffix(after))
        found.setdefault(number - place, (number, []))[1].append(each)
    return [*found.values()]


async def decode_pictures(
    around: Surroundings,
    pictures: Sequence[Expected],
    pattern: str,
    *,
    first_number: int = 1,
    cwd: str,
    on_block: Callable[[Block], None],
    on_usage: Callable[[Usage], None],
) -> None:
    """Decode the files *pattern* (with %d, from *first_number*) in *cwd*: as many as *pictures*, without a complaint.

    Raises AttemptFailed VERIFICATION_FAILED; Stopped.
    """
    arguments = (
        *("-loglevel", "level+error", *ABORT_WHEN_EMPTY, "-xerror", "-max_error_rate", "0"),
        *("-protocol_whitelist", "file,pipe", "-format_whitelist", "image2", "-codec_whitelist", _DECODERS),
        *("-f", "image2", "-start_number", str(first_number), "-i", f"file:{pattern}"),
        *("-map", "0:v:0", "-fps_mode", "passthrough", "-f", "null", "-"),
    )
    first = pictures[0]
    try:
        ran = await run_ffmpeg(
            around, arguments, doing=f"decoding {first.path}", on_block=on_block, on_usage=on_usage, cwd=cwd
        )
    except AttemptFailed as error:
        if error.failure.kind in (FailureKind.RETRYABLE, FailureKind.CRASH):
            raise
        why = f"it or a picture after it does not decode: {error.failure.message}"
        raise not_as_planned(first, why, error.failure.log_tail) from error
    if ran.log_lines:
        why = f"it or a picture after it does not decode cleanly: {ran.log_lines[0]}"
        raise not_as_planned(first, why, "\n".join(ran.log_lines))
    if ran.last.frame_count != len(pictures):
        raise not_as_planned(first, f"{ran.last.frame_count} pictures decode, planned were {len(pictures)}")
