"""Films whose pictures carry their number and whose sound clicks every second: what was cut is read from the result."""

from __future__ import annotations

import json
import re
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from telecine_worker.ffmpeg.toolchain import Toolchain

RATE = 25
SAMPLE_RATE_HZ = 48000
_WIDE, _HIGH, _BITS = 160, 32, 10
_STRIPE = _WIDE // _BITS
LOUD = 6000
_PICTURES = (
    *("-map", "0:v:0", "-fps_mode", "passthrough", "-vf", f"scale={_WIDE}:1,format=gray,showinfo=checksum=0"),
    *("-f", "rawvideo", "pipe:1"),
)
_SOUND = (
    *("-map", "0:a:0", "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", str(SAMPLE_RATE_HZ)),
    *("-f", "s16le", "pipe:1"),
)
_SHOWN = re.compile(r"\bpts_time:(-?[0-9.]+)")


def lavfi(seconds: float) -> tuple[str, ...]:
    """Inputs of FFmpeg: pictures of ten stripes, the bits of their number, and a click at each whole second."""
    stripes = f"255*mod(floor(N/pow(2,floor(X/{_STRIPE}))),2)"
    pictures = f"color=black:s={_WIDE}x{_HIGH}:r={RATE}:d={seconds},format=gray,geq=lum='{stripes}',format=yuv420p"
    sound = f"aevalsrc='if(lt(mod(t,1),0.004),0.9*sin(2*PI*1000*t),0)':s={SAMPLE_RATE_HZ}:d={seconds}"
    return ("-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", sound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Of a whole file: the number and the time of each picture, and the time of each click, in seconds from its start."""

    numbers: tuple[int, ...]
    times: tuple[float, ...]
    clicks: tuple[float, ...]

    def between(self, start: float, end: float) -> Seen:
        """What has to come of a part of it."""
        kept = [at for at, time in enumerate(self.times) if start - 0.0005 <= time < end - 0.0005]
        return Seen(
            numbers=tuple(self.numbers[at] for at in kept),
            times=tuple(self.times[at] - start for at in kept),
            clicks=tuple(click - start for click in self.clicks if start <= click < end),
        )


def seen(toolchain: Toolchain, path: Path) -> Seen:
    """All of *path*, decoded from its start. All streams are used: of some files time counts from the first one that is."""
    streams = json.loads(_run(toolchain.ffprobe, "-v", "error", "-show_streams", "-of", "json", str(path)).stdout)
    kinds = {stream["codec_type"] for stream in streams["streams"]}
    both = kinds >= {"audio", "video"}
    numbers: tuple[int, ...] = ()
    times: tuple[float, ...] = ()
    clicks: tuple[float, ...] = ()
    if "video" in kinds:
        said = _run(
            toolchain.ffmpeg, "-i", str(path), *_PICTURES, *(("-map", "0:a", "-f", "null", "-") if both else ())
        )
        numbers, times = _numbers(said.stdout), tuple(map(float, _SHOWN.findall(said.stderr.decode())))
    if "audio" in kinds:
        said = _run(toolchain.ffmpeg, "-i", str(path), *_SOUND, *(("-map", "0:v", "-f", "null", "-") if both else ()))
        clicks = _clicks(said.stdout)
    return Seen(numbers=numbers, times=times, clicks=clicks)


def _run(program: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(program), *arguments], capture_output=True, check=True, timeout=60)


def _numbers(raw: bytes) -> tuple[int, ...]:
    rows = [raw[at : at + _WIDE] for at in range(0, len(raw), _WIDE)]
    middles = range(_STRIPE // 2, _WIDE, _STRIPE)
    return tuple(sum((row[x] > 127) << bit for bit, x in enumerate(middles)) for row in rows)


def _clicks(pcm: bytes) -> tuple[float, ...]:
    found: list[float] = []
    last = -SAMPLE_RATE_HZ
    for at, (sample,) in enumerate(struct.iter_unpack("<h", pcm)):
        if abs(sample) > LOUD:
            if at - last > SAMPLE_RATE_HZ // 2:
                found.append(at / SAMPLE_RATE_HZ)
            last = at
    return tuple(found)
