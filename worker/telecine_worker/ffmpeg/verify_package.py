"""Whether the tracks of a finished package, as their boxes say, are what was planned and fit each other (reference 2.4.7)."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from itertools import pairwise

from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.expected_package import ExpectedPackage
from telecine_worker.ffmpeg.mismatch import not_as_planned, off
from telecine_worker.ffmpeg.package_tracks import Track

MOST_SOUND_DELAY = Fraction(50, 1000)
# Of times that two clocks count, in seconds.
_ROUNDING = Fraction(1, 1000)


def check_tracks(package: ExpectedPackage, tracks: list[Track], *, encoded_frames: int | None) -> None:
    """*tracks* in the order of the package. *encoded_frames* is what the encoder of the first one says it made, None where it
    cannot be told. Raises AttemptFailed VERIFICATION_FAILED.
    """
    pictures = [track for track in tracks if track.init.is_picture]
    for track in tracks:
        _check_continuous(track)
        _check_length(track)
    for track in pictures:
        _check_frames(track)
        _check_grid(track, package)
        _check_aligned(track, pictures[0])
    if encoded_frames is not None and pictures[0].frame_count != encoded_frames:
        raise _wrong(pictures[0], f"it has {pictures[0].frame_count} pictures, {encoded_frames} were encoded")
    for track in tracks:
        delay = track.segments[0].start - pictures[0].segments[0].start
        if abs(delay) > MOST_SOUND_DELAY:
            raise _wrong(track, f"it begins {float(delay):.3f} s after the first rendition; at most 0.050 s is right")


def _check_continuous(track: Track) -> None:
    for number, (before, after) in enumerate(pairwise(track.segments), 2):
        if abs(after.start - before.end) > _ROUNDING:
            raise _wrong(
                track,
                f"segment {number} begins at {float(after.start):.6f} s, the one before ends at {float(before.end):.6f} s",
            )


def _check_length(track: Track) -> None:
    planned = track.planned.stream
    if planned.duration is None:
        return
    wrong = off(timedelta(seconds=float(track.end)), planned.duration, planned.tolerance, planned.late)
    if wrong:
        raise _wrong(track, f"it lasts {wrong}")


def _check_frames(track: Track) -> None:
    video = track.planned.stream.video
    if video is None or video.frame_count is None:
        return
    if abs(track.frame_count - video.frame_count) > video.frame_tolerance:
        raise _wrong(
            track, f"it has {track.frame_count} pictures, planned was {video.frame_count} ± {video.frame_tolerance}"
        )


def _check_grid(track: Track, package: ExpectedPackage) -> None:
    """A key frame begins every segment and every GOP, and nothing else is one; all segments but the last are equally long."""
    gop = package.gop_seconds
    for number, segment in enumerate(track.segments):
        start = number * package.segment_seconds
        wanted = [start + count * gop for count in range(-int(-(segment.end - start) // gop))]
        found = segment.keys
        if len(found) != len(wanted) or any(abs(a - b) > _ROUNDING for a, b in zip(found, wanted, strict=True)):
            shown = ", ".join(f"{float(time):.3f}" for time in found[:8])
            raise _wrong(
                track, f"segment {number + 1} has key frames at {shown} s; every {float(gop):.3f} s from {float(start):.3f} s "
                "on was planned",
            )  # fmt: skip


def _check_aligned(track: Track, first: Track) -> None:
    if len(track.segments) != len(first.segments):
        raise _wrong(track, f"it has {len(track.segments)} segments, {first.name} has {len(first.segments)}")
    for number, (one, other) in enumerate(zip(track.segments[1:], first.segments[1:], strict=True), 2):
        if abs(one.start - other.start) > _ROUNDING:
            raise _wrong(
                track,
                f"segment {number} begins at {float(one.start):.6f} s, in {first.name} at {float(other.start):.6f} s",
            )


def _wrong(track: Track, why: str) -> AttemptFailed:
    return not_as_planned(track.planned.stream, why)
