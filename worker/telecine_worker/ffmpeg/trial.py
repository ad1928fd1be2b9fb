"""Whether encoders that FFmpeg lists do encode: a library that cannot be loaded, or refuses the machine, is listed all the
same.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Set
from pathlib import Path

from telecine_worker.ffmpeg.options import AUDIO_ENCODERS
from telecine_worker.ffmpeg.process import environment

ALL_SECONDS = 20
ONE_SECONDS = 5

_SOURCES = ("-f", "lavfi", "-i", "color=gray:s=256x256:r=25", "-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo")


def broken_encoders(ffmpeg: Path, names: Set[str]) -> frozenset[str]:
    """Those of *names* that do not encode one frame. Blocks: one process when all of them do, else one more for each."""
    if not names or _encodes(ffmpeg, sorted(names), ALL_SECONDS):
        return frozenset()
    return frozenset(name for name in names if not _encodes(ffmpeg, [name], ONE_SECONDS))


def _encodes(ffmpeg: Path, names: Iterable[str], seconds: int) -> bool:
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
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
