"""What a file is, as a table."""

from __future__ import annotations

from collections.abc import Iterator

from telecine_client.cli.rendering import size_text
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, SubtitleStream, VideoStream


def lines(info: MediaInfo) -> Iterator[str]:
    """A fact a line, then a stream a line, in the order of the file."""
    facts = {"format": info.format, "size": size_text(info.size_bytes)}
    if info.duration is not None:
        facts["duration"] = f"{info.duration.total_seconds():.3f} s"
    if info.bitrate_bps:
        facts["bitrate"] = f"{info.bitrate_bps / 1000:.0f} kbit/s"
    yield from (f"{name:<10}{fact}" for name, fact in facts.items())
    streams: list[VideoStream | AudioStream | SubtitleStream] = [*info.video, *info.audio, *info.subtitles]
    for stream in sorted(streams, key=lambda each: each.index):
        yield f"{f'stream {stream.index}':<10}{_stream(stream)}"
    if info.other_streams:
        yield f"{'others':<10}{info.other_streams}"


def _stream(stream: VideoStream | AudioStream | SubtitleStream) -> str:
    match stream:
        case VideoStream():
            return _video(stream)
        case AudioStream():
            return _joined(
                "audio", stream.codec, f"{stream.sample_rate_hz} Hz", f"{stream.channel_count} ch", stream.channel_layout,
                stream.language,
            )  # fmt: skip
        case SubtitleStream():
            return _joined("subtitles", stream.codec, stream.language)


def _video(stream: VideoStream) -> str:
    rate = f"{float(stream.frame_rate):.5g} fps" if stream.frame_rate else ""
    return _joined(
        "video", stream.codec, f"{stream.width_px}x{stream.height_px}", rate,
        "variable frame rate" if stream.variable_frame_rate else "",
        stream.pixel_format, stream.color_transfer, f"rotated {stream.rotation_degrees}" if stream.rotation_degrees else "",
        f"{stream.frame_count} frames" if stream.frame_count else "",
    )  # fmt: skip


def _joined(*words: str) -> str:
    return "  ".join(word for word in words if word)
