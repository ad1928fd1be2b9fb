"""Looking at a file: ffprobe's JSON, through the whitelists, with a deadline and a cap, turned into a MediaInfo."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import Any

from telecine_worker.failure import AttemptFailed, permanent, retryable
from telecine_worker.ffmpeg import failure_kinds, matroska_tags, packet_ends, packets, stated_ends, whitelists
from telecine_worker.ffmpeg.command import Command
from telecine_worker.ffmpeg.limits import ended_when_stalled
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, SubtitleStream, VideoStream
from telecine_worker.ffmpeg.packets import PacketReader, PacketTimes
from telecine_worker.ffmpeg.picture_header import with_size
from telecine_worker.ffmpeg.process import Exit, Usage, running
from telecine_worker.ffmpeg.run import Surroundings, stall_failure
from telecine_worker.ffmpeg.stop_order import Stopped
from telecine_worker.ffmpeg.unknown_length import is_impossible, without_length

DEADLINE = timedelta(seconds=60)
COUNTING_DEADLINE = timedelta(minutes=30)
ANSWER_BYTES = 8 * 1024 * 1024

MAX_DURATION = timedelta(days=2)
MAX_SIDE_PX = 16384
MAX_FRAME_RATE = 1000
MAX_CHANNELS = 64
MAX_CHAPTERS = 1000
# A frame rate is called variable when the rate that all timestamps fit and the average differ by more than this part.
VARIABLE_RATE_TOLERANCE = Fraction(1, 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """*packets* holds what was found of the packets of each stream by its number, where that was asked for or needed."""

    info: MediaInfo
    packets: Mapping[int, PacketTimes]
    usage: Usage


async def probe(around: Surroundings, fd: int, *, name: str, with_packets: bool = False) -> Probed:
    """What the open file *fd* is; *name* stands for it in messages. Where nothing says how long it is, all of it is read.

    Raises AttemptFailed: INPUT_INVALID, INPUT_NOT_ALLOWED, INPUT_OVER_LIMIT, STALLED and others, with FFmpeg's own
    words. Raises Stopped.
    """
    data, times, usage = await _answer(around, fd, name, with_packets=with_packets)
    info = _understood(data, name)
    if packet_ends.are_needed(info, data):
        if not with_packets:
            data, times, more = await _answer(around, fd, name, with_packets=True)
            usage += more
        info = _understood(packet_ends.completed(data, times), name)
    info = with_size(info, fd)
    _refuse_beyond_limits(info, data, name)
    return Probed(info=info, packets=times, usage=usage)


async def _answer(
    around: Surroundings, fd: int, name: str, *, with_packets: bool
) -> tuple[dict[str, Any], Mapping[int, PacketTimes], Usage]:
    url = f"file:/proc/self/fd/{fd}"
    shown = ("-show_format", "-show_streams", "-show_chapters", "-show_data_hash", "sha256", "-of", "json")
    reader = PacketReader(ANSWER_BYTES)
    command = Command(
        argv=(
            str(around.toolchain.ffprobe), "-v", "level+error", *whitelists.BEFORE_PROBED_INPUT, *shown,
            *(packets.SHOWN if with_packets else ()), "-i", url,
        ),
        marker=around.marker,
        pass_fds=(fd,),
        names={url: name},
        confinement=around.toolchain.confinement,
        cpu_limit=around.cpu_limit,
    )  # fmt: skip
    ended = await _ask(command, reader, name, around, COUNTING_DEADLINE if with_packets else DEADLINE)
    if ended.code != 0:
        raise _unreadable(name, ended)
    return _parsed(reader.rest(), name), reader.streams, ended.usage


async def _ask(command: Command, reader: PacketReader, name: str, around: Surroundings, deadline: timedelta) -> Exit:
    stalled = asyncio.Event()
    # Within the deadline: what hangs is no fault of the input, what still works by then is.
    stall_timeout = min(around.stall_timeout, deadline / 2)
    async with (
        running(command, on_output=reader.feed, stop=around.stop) as child,
        ended_when_stalled(child, timeout=stall_timeout, advanced=lambda: reader.fed_bytes, on_stall=stalled.set),
    ):
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                ended = await child.wait()
        except TimeoutError:
            raise permanent("INPUT_OVER_LIMIT", f"{name} could not be probed within {deadline}") from None
    if around.stop.given:
        raise Stopped
    if stalled.is_set():
        raise stall_failure(ended, stall_timeout, f"probing {name}")
    return ended


def _unreadable(name: str, ended: Exit) -> AttemptFailed:
    verdict, said = failure_kinds.verdict_of(ended.code, ended.log_lines)
    if verdict is failure_kinds.UNKNOWN:
        verdict = failure_kinds.INVALID
    said = said or f"exit code {ended.code}"
    message = f"{name} is not readable as media; FFmpeg says: {said}"
    return AttemptFailed(verdict.kind, verdict.reason, message, log_tail=ended.log_tail, exit_code=ended.code)


def _parsed(answer: bytes, name: str) -> dict[str, Any]:
    if len(answer) > ANSWER_BYTES:
        raise permanent("INPUT_OVER_LIMIT", f"{name} makes ffprobe answer with more than {ANSWER_BYTES} bytes")
    try:
        data: dict[str, Any] = json.loads(answer)
    except ValueError:
        raise retryable("FFMPEG_FAILED", f"ffprobe's answer about {name} is not whole JSON") from None
    if "format" not in data or not data.get("streams"):
        raise permanent("INPUT_INVALID", f"{name} holds no media streams")
    return data


def _understood(data: Mapping[str, Any], name: str) -> MediaInfo:
    try:
        return media_info(data)
    except (ValueError, OverflowError):
        # A header may hold any number: a frame rate, say, by which the film would end before it begins.
        raise permanent("INPUT_INVALID", f"{name} says of itself what cannot be") from None


def _refuse_beyond_limits(info: MediaInfo, data: Mapping[str, Any], name: str) -> None:
    streams = len(data["streams"])
    beyond = [
        (streams > whitelists.MAX_STREAMS, f"{streams} streams; at most {whitelists.MAX_STREAMS}"),
        (info.duration is not None and info.duration > MAX_DURATION, f"{info.duration}; at most {MAX_DURATION}"),
        (len(data.get("chapters", ())) > MAX_CHAPTERS, f"more than {MAX_CHAPTERS} chapters"),
    ]
    for video in info.video:
        for wide, high in ((video.coded_width_px, video.coded_height_px), (video.width_px, video.height_px)):
            too_big = max(wide, high) > MAX_SIDE_PX or wide * high > whitelists.MAX_PIXELS
            right = f"at most {MAX_SIDE_PX} px on a side and {whitelists.MAX_PIXELS} pixels"
            beyond.append((too_big, f"pictures of {wide}x{high} px; {right}"))
        rate = video.frame_rate or 0
        beyond.append((rate > MAX_FRAME_RATE, f"{rate} frames per second; at most {MAX_FRAME_RATE}"))
    for audio in info.audio:
        channels = audio.channel_count
        beyond.append((channels > MAX_CHANNELS, f"{channels} channels; at most {MAX_CHANNELS}"))
    for is_beyond, text in beyond:
        if is_beyond:
            raise permanent("INPUT_OVER_LIMIT", f"{name} has {text}")


def media_info(data: Mapping[str, Any]) -> MediaInfo:
    """From ffprobe's JSON (format and streams)."""
    container = stated_ends.container(data["format"], data["streams"])
    streams = stated_ends.believed(container, matroska_tags.completed(container, data["streams"]))
    videos = tuple(_video(s) for s in streams if s.get("codec_type") == "video" and not _is_cover(s))
    audios = tuple(_audio(s) for s in streams if s.get("codec_type") == "audio")
    subtitles = tuple(
        SubtitleStream(index=s["index"], codec=s.get("codec_name", ""), language=_language(s))
        for s in streams
        if s.get("codec_type") == "subtitle"
    )
    info = MediaInfo(
        format=container["format_name"],
        size_bytes=int(container.get("size", 0)),
        duration=_whole_duration(container, videos, audios),
        start=_seconds(container.get("start_time")) or timedelta(0),
        bitrate_bps=_integer(container.get("bit_rate")),
        video=videos,
        audio=audios,
        subtitles=subtitles,
        other_streams=len(streams) - len(videos) - len(audios) - len(subtitles),
    )
    return without_length(info) if is_impossible(info, streams) else info


def _whole_duration(
    container: Mapping[str, Any], videos: tuple[VideoStream, ...], audios: tuple[AudioStream, ...]
) -> timedelta | None:
    """The container's, else the longest stream's, else frames over frame rate, else unknown."""
    if container["format_name"].endswith("_pipe"):
        return None
    stated = _positive(container.get("duration"))
    durations = [v.duration for v in videos] + [a.duration for a in audios]
    known = [duration for duration in durations if duration]
    counted = [timedelta(seconds=float(v.frame_count / v.frame_rate)) for v in videos if v.frame_count and v.frame_rate]
    return stated or max(known, default=None) or max(counted, default=None)


def _is_cover(stream: Mapping[str, Any]) -> bool:
    return bool(stream.get("disposition", {}).get("attached_pic"))


def _video(stream: Mapping[str, Any]) -> VideoStream:
    rotation = _rotation(stream)
    aspect = _ratio(stream.get("sample_aspect_ratio"), ":") or Fraction(1)
    coded = (_integer(stream.get("width")), _integer(stream.get("height")))
    wide, high = round(coded[0] * aspect), coded[1]
    if rotation in (90, 270):
        wide, high = high, wide
    average, fitting = _ratio(stream.get("avg_frame_rate"), "/"), _ratio(stream.get("r_frame_rate"), "/")
    return VideoStream(
        index=stream["index"],
        codec=stream.get("codec_name", ""),
        width_px=wide,
        height_px=high,
        coded_width_px=coded[0],
        coded_height_px=coded[1],
        sample_aspect_ratio=aspect,
        frame_rate=average or fitting,
        variable_frame_rate=bool(average and fitting and abs(fitting - average) > average * VARIABLE_RATE_TOLERANCE),
        is_reordered=_integer(stream.get("has_b_frames")) > 0,
        pixel_format=stream.get("pix_fmt", ""),
        rotation_degrees=rotation,
        frame_count=_integer(stream.get("nb_frames")),
        color_transfer=_known(stream.get("color_transfer")),
        color_primaries=_known(stream.get("color_primaries")),
        color_space=_known(stream.get("color_space")),
        field_order=_known(stream.get("field_order")),
        extradata_hash=str(stream.get("extradata_hash", "")),
        start=_seconds(stream.get("start_time")) or timedelta(0),
        duration=_positive(stream.get("duration")),
        tagged_duration=_positive(stream.get("tagged_duration")),
    )


def _audio(stream: Mapping[str, Any]) -> AudioStream:
    return AudioStream(
        index=stream["index"],
        codec=stream.get("codec_name", ""),
        sample_rate_hz=_integer(stream.get("sample_rate")),
        channel_count=_integer(stream.get("channels")),
        channel_layout=_known(stream.get("channel_layout")),
        language=_language(stream),
        extradata_hash=str(stream.get("extradata_hash", "")),
        start=_seconds(stream.get("start_time")) or timedelta(0),
        duration=_positive(stream.get("duration")),
        tagged_duration=_positive(stream.get("tagged_duration")),
    )


def _rotation(stream: Mapping[str, Any]) -> int:
    """Clockwise, to the nearest quarter. Side data counts counter-clockwise; the old tag `rotate` counts clockwise."""
    for side_data in stream.get("side_data_list", ()):
        if "rotation" in side_data:
            return round(-float(side_data["rotation"]) / 90) * 90 % 360
    return round(float(stream.get("tags", {}).get("rotate", 0)) / 90) * 90 % 360


def _language(stream: Mapping[str, Any]) -> str:
    language = str(stream.get("tags", {}).get("language", ""))
    return "" if language == "und" else language


def _known(text: str | None) -> str:
    return "" if text in (None, "unknown", "unspecified", "reserved") else str(text)


def _integer(text: str | int | None) -> int:
    """0 for what is absent or "N/A"."""
    try:
        return max(0, int(text or 0))
    except ValueError:
        return 0


def _seconds(text: str | None) -> timedelta | None:
    try:
        return timedelta(seconds=float(text or "nan"))
    except (ValueError, OverflowError):
        return None


def _positive(text: str | None) -> timedelta | None:
    duration = _seconds(text)
    return duration if duration and duration > timedelta(0) else None


def _ratio(text: str | None, separator: str) -> Fraction | None:
    """None for 0:1, 0/0 and anything else that is no positive ratio."""
    top, _, bottom = (text or "").partition(separator)
    if not (top.isdigit() and bottom.isdigit()) or int(top) == 0 or int(bottom) == 0:
        return None
    return Fraction(int(top), int(bottom))
