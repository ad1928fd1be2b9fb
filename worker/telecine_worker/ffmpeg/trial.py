"""Whether encoders that FFmpeg lists do encode: a library that cannot be loaded, or refuses the machine, is listed all the
same.
"""

from __future__ import annotations

import enum
import subprocess
from collections.abc import Iterable, Set
from pathlib import Path

import structlog

from telecine_worker.ffmpeg.options import AUDIO_ENCODERS
from telecine_worker.ffmpeg.process import environment

log = structlog.get_logger(__name__)

ALL_SECONDS = 20
ONE_SECONDS = 5

_SOURCES = ("-f", "lavfi", "-i", "color=gray:s=256x256:r=25", "-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo")


class _Answer(enum.Enum):
    WORKS = enum.auto()
    FAILS = enum.auto()
    LATE = enum.auto()


def broken_encoders(ffmpeg: Path, names: Set[str]) -> frozenset[str]:
    """Those of *names* that fail to encode one frame. Blocks: one process when none of them does, else one more for each.

    On a machine that is busy with other things a library may be late; that says nothing against it.
    """
    if not names or _tried(ffmpeg, sorted(names), ALL_SECONDS) is _Answer.WORKS:
        return frozenset()
    return frozenset(name for name in sorted(names) if _fails(ffmpeg, name))


def _fails(ffmpeg: Path, name: str) -> bool:
    answer = _tried(ffmpeg, [name], ONE_SECONDS)
    if answer is _Answer.FAILS:
        log.warning("encoder is listed but does not encode: it is not offered", encoder=name)
    elif answer is _Answer.LATE:
        log.warning("encoder could not be tried in time: it is offered", encoder=name, seconds=ONE_SECONDS)
    return answer is _Answer.FAILS


def _tried(ffmpeg: Path, names: Iterable[str], seconds: float) -> _Answer:
    """All of *names*, each to an output of its own, in one process and time limit."""
    outputs: list[str] = []
    for name in names:
        kind, source = ("a", 1) if name in AUDIO_ENCODERS else ("v", 0)
        outputs += ["-map", f"{source}:{kind}", f"-frames:{kind}", "1", f"-c:{kind}", name, "-f", "null", "-"]
    argv = [str(ffmpeg), "-nostdin", "-v", "error", *_SOURCES, *outputs]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment("trial"),
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Answer.LATE
    except OSError:
        return _Answer.FAILS
    return _Answer.WORKS if done.returncode == 0 else _Answer.FAILS
