"""Where a finished file, as it was probed, differs from what was planned."""

from __future__ import annotations

from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg.expected import Expected, ExpectedAudio, ExpectedVideo
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream


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
    """Where one is planned. Raises AttemptFailed VERIFICATION_FAILED."""
    if expected.duration is None or info.duration is None:
        return
    if abs(info.duration - expected.duration) > expected.tolerance:
        raise not_as_planned(
            expected, f"it lasts {info.duration}, planned was {expected.duration} ± {expected.tolerance}"
        )


def not_as_planned(expected: Expected, why: str, log_tail: str = "") -> AttemptFailed:
    """VERIFICATION_FAILED; *why* completes "... is not what was planned: "."""
    # UNKNOWN is tried once more and then final: what fails verification twice is not an accident.
    return AttemptFailed(
        FailureKind.UNKNOWN,
        "VERIFICATION_FAILED",
        f"{expected.path} is not what was planned: {why}",
        log_tail=log_tail,
    )
