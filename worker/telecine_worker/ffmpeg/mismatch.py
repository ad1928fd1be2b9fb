"""Where a finished file, as it was probed, differs from what was planned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg import matroska_tags
from telecine_worker.ffmpeg.expected import Expected, ExpectedAudio, ExpectedVideo
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream

FAILED = "VERIFICATION_FAILED"


def check_streams(info: MediaInfo, expected: Expected) -> None:
    """Container, streams, codecs and sizes. Raises AttemptFailed VERIFICATION_FAILED."""
    if info.format not in expected.formats:
        raise not_as_planned(expected, f"its container is {info.format}, planned was {' or '.join(expected.formats)}")
    if not expected.exact_streams:
        return
    if info.subtitles or info.other_streams:
        raise not_as_planned(expected, "it has streams besides video and audio")
    _check_count(expected, "video", len(info.video), expected.video)
    _check_count(expected, "audio", len(info.audio), expected.audio)
    if expected.video is not None:
        _check_video(info.video[0], expected.video, expected)
    if expected.audio is not None:
        _check_audio(info.audio[0], expected.audio, expected)


def _check_count(expected: Expected, kind: str, found: int, wanted: object | None) -> None:
    planned = 0 if wanted is None else 1
    if found != planned:
        raise not_as_planned(expected, f"it has {found} {kind} streams, planned was {planned}")


def _check_video(found: VideoStream, wanted: ExpectedVideo, expected: Expected) -> None:
    _check_same(expected, "video codec", found.codec, wanted.codec)
    _check_same(expected, "width", found.coded_width_px, wanted.width_px)
    _check_same(expected, "height", found.coded_height_px, wanted.height_px)
    _check_same(expected, "pixel format", found.pixel_format, wanted.pixel_format)
    _check_same(expected, "transfer function", found.color_transfer, wanted.color_transfer)
    if wanted.rotation_degrees is not None and found.rotation_degrees != wanted.rotation_degrees:
        raise not_as_planned(
            expected, f"it is turned by {found.rotation_degrees}°, planned was {wanted.rotation_degrees}°"
        )
    ratio = wanted.sample_aspect_ratio
    # Matroska has the shape of the picture in whole pixels.
    if ratio is not None and abs(found.sample_aspect_ratio - ratio) > ratio / 50:
        raise not_as_planned(
            expected,
            f"the shape of its pixels is {found.sample_aspect_ratio}, planned was {ratio}; what only a container says of it is "
            "lost where another one has no place for it",
        )


def _check_audio(found: AudioStream, wanted: ExpectedAudio, expected: Expected) -> None:
    _check_same(expected, "audio codec", found.codec, wanted.codec)
    # Opus is always played at 48 kHz, whatever went in.
    rate = wanted.sample_rate_hz if wanted.codec != "opus" else None
    _check_same(expected, "sample rate", found.sample_rate_hz, rate)
    _check_same(expected, "number of channels", found.channel_count, wanted.channel_count)


def _check_same(expected: Expected, what: str, found: str | int, wanted: str | int | None) -> None:
    if wanted and found != wanted:
        raise not_as_planned(expected, f"its {what} is {found}, planned was {wanted}")


def check_duration(info: MediaInfo, expected: Expected) -> None:
    """Of the file and of its streams, where one is planned. Raises AttemptFailed VERIFICATION_FAILED."""
    found = _length(info)
    if expected.duration is not None and found is not None:
        wrong = off(found, expected.duration, expected.tolerance, expected.late)
        if wrong:
            raise not_as_planned(expected, f"it lasts {wrong}")
    if expected.exact_streams:
        _check_end(expected, "pictures end", info, info.video, expected.video)
        _check_end(expected, "sound ends", info, info.audio, expected.audio)


def _length(info: MediaInfo) -> timedelta | None:
    """From where the first stream begins: what a container says may count from before that."""
    streams: list[VideoStream | AudioStream] = [*info.video, *info.audio]
    ends = [stream.start + stream.stated_duration for stream in streams if stream.stated_duration is not None]
    if info.duration is None or not streams:
        return info.duration
    if len(ends) < len(streams):
        # This one counts from 0.
        return info.duration - (_begin(info) if info.format == matroska_tags.FORMAT else timedelta(0))
    return max(ends) - _begin(info)


def _begin(info: MediaInfo) -> timedelta:
    return min((*(each.start for each in info.video), *(each.start for each in info.audio)))


def _check_end(
    expected: Expected,
    what: str,
    info: MediaInfo,
    streams: Sequence[VideoStream | AudioStream],
    wanted: ExpectedVideo | ExpectedAudio | None,
) -> None:
    if wanted is None or wanted.end is None or not streams or streams[0].stated_duration is None:
        return
    found = streams[0].start + streams[0].stated_duration - _begin(info)
    wrong = off(found, wanted.end, wanted.end_tolerance, wanted.end_late)
    if wrong:
        raise not_as_planned(expected, f"its {what} at {wrong}")


def off(found: timedelta, planned: timedelta, tolerance: timedelta, late: timedelta) -> str:
    """How *found* is not what was planned; empty: it is."""
    if -tolerance <= found - planned and found - planned - tolerance <= late:
        return ""
    later = f", or up to {late} later" if late else ""
    return f"{found}, planned was {planned} ± {tolerance}{later}"


def not_as_planned(expected: Expected, why: str, log_tail: str = "") -> AttemptFailed:
    """VERIFICATION_FAILED; *why* completes "... is not what was planned: "."""
    # UNKNOWN is tried once more and then final: what fails verification twice is not an accident.
    return AttemptFailed(
        FailureKind.UNKNOWN,
        FAILED,
        f"{expected.path} is not what was planned: {why}",
        log_tail=log_tail,
    )
