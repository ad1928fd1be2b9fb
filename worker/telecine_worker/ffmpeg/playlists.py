"""HLS playlists (RFC 8216) of a finished package.

FFmpeg's own are not used: versions differ in what they say, and some of it is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from telecine_worker.ffmpeg.package_tracks import Track

# By FFmpeg's names of transfer functions; everything else is SDR.
_VIDEO_RANGES = {"smpte2084": "PQ", "arib-std-b67": "HLG"}
_HEAD = ("#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS")


def target_duration(tracks: Sequence[Track]) -> int:
    """In seconds, the same in all playlists, as RFC 8216 6.2.4 wants it; no segment is longer."""
    return math.ceil(max(duration for track in tracks for duration in track.durations()))


def media_playlist(track: Track, target_seconds: int, *, first: int = 1) -> str:
    """Of one track from segment *first* on, to its end (VOD)."""
    lines = [
        *_HEAD, f"#EXT-X-TARGETDURATION:{target_seconds}", f"#EXT-X-MEDIA-SEQUENCE:{first}", "#EXT-X-PLAYLIST-TYPE:VOD",
        f'#EXT-X-MAP:URI="{track.planned.init}"',
    ]  # fmt: skip
    for number, duration in list(enumerate(track.durations(), 1))[first - 1 :]:
        lines += [f"#EXTINF:{float(duration):.6f},", track.planned.segment(number)]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def master_playlist(pictures: Sequence[Track], sound: Track | None, target_seconds: int) -> str:
    """Of all tracks. Bandwidths are measured, those of the sound included."""
    lines = [*_HEAD]
    if sound is not None:
        audio = sound.planned.stream.audio
        channels = f',CHANNELS="{audio.channel_count}"' if audio is not None and audio.channel_count else ""
        language = f',LANGUAGE="{sound.language}"' if sound.language else ""
        lines.append(
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{sound.name}",NAME="{sound.name}"{language},DEFAULT=YES,AUTOSELECT=YES{channels},'
            f'URI="{sound.planned.playlist}"'
        )
    for track in pictures:
        lines += [f"#EXT-X-STREAM-INF:{_stream_attributes(track, sound, target_seconds)}", track.planned.playlist]
    return "\n".join([*lines, ""])


def _stream_attributes(track: Track, sound: Track | None, target_seconds: int) -> str:
    played = [track] if sound is None else [track, sound]
    rate = track.planned.frame_rate or Fraction(0)
    return ",".join(
        (
            f"BANDWIDTH={sum(each.peak_bps(target_seconds) for each in played)}",
            f"AVERAGE-BANDWIDTH={sum(each.average_bps() for each in played)}",
            f'CODECS="{",".join(each.init.codecs for each in played)}"',
            f"RESOLUTION={track.init.width_px}x{track.init.height_px}",
            f"FRAME-RATE={float(rate):.3f}",
            *_video_range(track),
            *(() if sound is None else (f'AUDIO="{sound.name}"',)),
        )
    )


def _video_range(track: Track) -> list[str]:
    video = track.planned.stream.video
    known = _VIDEO_RANGES.get(video.color_transfer) if video is not None else None
    return [] if known is None else [f"VIDEO-RANGE={known}"]
