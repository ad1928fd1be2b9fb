"""FFmpeg and ffprobe as the worker finds them, for making and checking the demo's files."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class ToolFailed(Exception):
    """A program ended with an error; the message has its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """What ffprobe says of a file."""

    duration_seconds: float
    size_bytes: int
    video_codec: str
    """Empty: no video."""
    width_px: int
    height_px: int
    audio_codec: str
    """Empty: no sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """Two programs that belong together. *unconfined* says why no sandbox holds for them here; empty: one does, or it is
    switched off.
    """

    ffmpeg: str
    ffprobe: str
    unconfined: str

    @classmethod
    async def find(cls, worker: Sequence[str]) -> Toolchain:
        """Ask the worker which ones it would use. Raises ToolFailed with its own words."""
        found = json.loads(await output_of([*worker, "--check"]))
        return cls(ffmpeg=found["ffmpeg"], ffprobe=found["ffprobe"], unconfined=found["sandbox_refusal"] or "")

    async def make_source(self, target: Path) -> None:
        """Ten seconds of FFmpeg's moving test picture, 1280x720 at 30 frames a second, with a tone."""
        picture, tone = "testsrc2=size=1280x720:rate=30:duration=10", "sine=frequency=440:sample_rate=48000:duration=10"
        sources = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone]
        codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"]
        await output_of([self.ffmpeg, "-nostdin", "-v", "error", "-y", *sources, *codecs, f"file:{target}"])

    async def probe(self, file: Path) -> Media:
        """Raises ToolFailed for what is no media file."""
        text = await output_of(
            [self.ffprobe, "-v", "error", "-of", "json", "-show_format", "-show_streams", f"file:{file}"]
        )
        facts = json.loads(text)
        video, audio = _stream(facts, "video"), _stream(facts, "audio")
        return Media(
            duration_seconds=float(facts["format"].get("duration", 0)),
            size_bytes=int(facts["format"]["size"]),
            video_codec=video.get("codec_name", ""),
            width_px=video.get("width", 0),
            height_px=video.get("height", 0),
            audio_codec=audio.get("codec_name", ""),
        )

    async def count_frames(self, file: Path) -> int:
        """Decode everything, and give the number of pictures. Raises ToolFailed at the first error in the file."""
        text = await output_of(
            [
                *[self.ffmpeg, "-nostdin", "-v", "error", "-xerror", "-progress", "pipe:1", "-i", f"file:{file}"],
                *["-map", "0:V:0", "-map", "0:a?", "-fps_mode", "passthrough", "-f", "null", "-"],
            ]
        )
        counts = [line.removeprefix("frame=") for line in text.splitlines() if line.startswith("frame=")]
        return int(counts[-1]) if counts else 0


def _stream(facts: dict[str, Any], kind: str) -> dict[str, Any]:
    """The first stream of its kind that is no cover picture, or nothing."""
    for stream in facts["streams"]:
        if stream["codec_type"] == kind and not stream["disposition"]["attached_pic"]:
            found: dict[str, Any] = stream
            return found
    return {}


async def output_of(argv: Sequence[str]) -> str:
    """What the program prints. Raises ToolFailed when it ends with an error, or cannot be started."""
    name = Path(argv[0]).name
    try:
        process = await asyncio.create_subprocess_exec(*argv, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    except OSError as cannot:
        raise ToolFailed(f"{argv[0]} cannot be started: {cannot.strerror}") from cannot
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        words = " ".join(err.decode(errors="replace").split()[-60:])
        raise ToolFailed(f"{name} ended with exit code {process.returncode}: {words}")
    return out.decode()
