"""Any file that probing could describe, for property tests of planners."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

from hypothesis import strategies as st

from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream

FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "mpeg", "avi", "png_pipe", "gif", "wav", "h264", "ogg")
_TIMES = st.integers(1, 2 * 86400 * 10**6).map(lambda microseconds: timedelta(microseconds=microseconds))
_STARTS = st.sampled_from([timedelta(0), timedelta(microseconds=-21333), timedelta(seconds=1.4), timedelta(hours=9)])
_SIDES = st.one_of(st.integers(1, 16384), st.sampled_from([0, 1, 2, 3, 321, 1080, 1920]))


@st.composite
def videos(draw: st.DrawFn) -> VideoStream:
    """A video stream; sizes go from nothing to the largest that is let in."""
    wide, high = draw(_SIDES), draw(_SIDES)
    rotation = draw(st.sampled_from([0, 90, 180, 270]))
    aspect = draw(st.sampled_from([Fraction(1), Fraction(64, 45), Fraction(1, 3)]))
    shown = (round(wide * aspect), high)
    return VideoStream(
        index=draw(st.integers(0, 5)),
        codec=draw(st.sampled_from(["h264", "hevc", "vp9", "mpeg2video", "png", "prores"])),
        width_px=shown[rotation in (90, 270)],
        height_px=shown[rotation not in (90, 270)],
        coded_width_px=wide,
        coded_height_px=high,
        sample_aspect_ratio=aspect,
        frame_rate=draw(
            st.sampled_from([None, Fraction(25), Fraction(30000, 1001), Fraction(500, 29), Fraction(1000)])
        ),
        variable_frame_rate=draw(st.booleans()),
        pixel_format=draw(st.sampled_from(["", "yuv420p", "yuv422p10le", "yuvj420p", "gray", "rgb24"])),
        rotation_degrees=rotation,
        frame_count=draw(st.sampled_from([0, 1, 250])),
        color_transfer=draw(st.sampled_from(["", "bt709", "smpte2084", "arib-std-b67"])),
        color_space=draw(st.sampled_from(["", "bt709", "bt2020nc"])),
        field_order=draw(st.sampled_from(["", "progressive", "tt"])),
        start=draw(_STARTS),
        duration=draw(st.one_of(st.none(), _TIMES)),
    )


@st.composite
def audios(draw: st.DrawFn) -> AudioStream:
    """A sound track."""
    return AudioStream(
        index=draw(st.integers(6, 9)),
        codec=draw(st.sampled_from(["aac", "mp3", "opus", "flac", "pcm_s16le", "wmav2"])),
        sample_rate_hz=draw(st.sampled_from([0, 8000, 44100, 48000, 192000])),
        channel_count=draw(st.integers(0, 16)),
        start=draw(_STARTS),
        duration=draw(st.one_of(st.none(), _TIMES)),
    )


@st.composite
def films(draw: st.DrawFn) -> MediaInfo:
    """What most inputs are: a film of a sensible size and length, with sound or without."""
    video, length = draw(videos()), timedelta(seconds=draw(st.floats(0.1, 10000)))
    wide, high = draw(st.sampled_from([(320, 180), (1080, 1920), (65, 47)]))
    return MediaInfo(
        format=draw(st.sampled_from(FORMATS[:4])),
        size_bytes=10**6,
        duration=length,
        video=(
            replace(video, width_px=wide, height_px=high, coded_width_px=wide, coded_height_px=high, duration=length),
        ),
        audio=tuple(draw(st.lists(audios(), max_size=1))),
    )


@st.composite
def media(draw: st.DrawFn) -> MediaInfo:
    """A file, with up to two streams of each kind."""
    return MediaInfo(
        format=draw(st.sampled_from(FORMATS)),
        size_bytes=draw(st.integers(0, 10**12)),
        duration=draw(st.one_of(st.none(), _TIMES)),
        start=draw(_STARTS),
        video=tuple(draw(st.lists(videos(), max_size=2))),
        audio=tuple(draw(st.lists(audios(), max_size=2))),
        other_streams=draw(st.integers(0, 1)),
    )
