"""Whether encoders that FFmpeg lists do encode: a library that cannot be loaded, or refuses the machine, is listed all the
same, and so is every encoder of hardware that is not there.
"""

from __future__ import annotations

import enum
import subprocess
import time
from collections.abc import Iterable, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog

from telecine_worker.ffmpeg import hardware
from telecine_worker.ffmpeg.command import Command, spawn
from telecine_worker.ffmpeg.options import AUDIO_ENCODERS
from telecine_worker.sandbox.confinement import Confinement

log = structlog.get_logger(__name__)

ALL_SECONDS = 20
ONE_SECONDS = 5
# Of hardware: of one encoder, of all of them, and how many are tried at a time. A device has only so many sessions.
HARDWARE_SECONDS = 10
ALL_HARDWARE_SECONDS = 30
AT_ONCE = 2

_PICTURE = ("-f", "lavfi", "-i", "color=gray:s=256x256:r=25")
_SOURCES = (*_PICTURE, "-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """The program that is tried, as attempts run it."""

    ffmpeg: Path
    confinement: Confinement


class _Answer(enum.Enum):
    WORKS = enum.auto()
    FAILS = enum.auto()
    LATE = enum.auto()


def broken_encoders(tried: Tried, names: Set[str]) -> frozenset[str]:
    """Those of *names* that fail to encode one frame. Blocks: one process when none of them does, else one more for each.

    On a machine that is busy with other things a library may be late; that says nothing against it.
    """
    if not names or _answer(tried, sorted(names), ALL_SECONDS) is _Answer.WORKS:
        return frozenset()
    return frozenset(name for name in sorted(names) if _fails(tried, name))


def working_hardware(tried: Tried, names: Set[str]) -> frozenset[str]:
    """Those of *names*, hardware.ENCODERS, that encode five frames in time. Blocks; a machine without devices costs nothing.

    Unlike a library, hardware that is late is not offered: software is always there for those who only prefer it.
    """
    possible = [name for name in sorted(names) if hardware.FAMILY_OF[name].is_possible()]
    ends = time.monotonic() + ALL_HARDWARE_SECONDS
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda name: _answer_of_hardware(tried, name, ends), possible)
    return frozenset(name for name, answer in zip(possible, answers, strict=True) if answer is _Answer.WORKS)


def _answer_of_hardware(tried: Tried, name: str, ends: float) -> _Answer:
    family, seconds = hardware.FAMILY_OF[name], min(HARDWARE_SECONDS, ends - time.monotonic())
    argv = [*family.device, *_PICTURE, "-frames:v", "5", "-vf", family.upload, "-c:v", name, "-f", "null", "-"]
    answer = _run(tried, argv, seconds) if seconds > 0 else _Answer.LATE
    if answer is _Answer.WORKS:
        log.info("hardware encoder works: it is offered", encoder=name)
    else:
        log.info("hardware encoder does not work: it is not offered", encoder=name, late=answer is _Answer.LATE)
    return answer


def _fails(tried: Tried, name: str) -> bool:
    answer = _answer(tried, [name], ONE_SECONDS)
    if answer is _Answer.FAILS:
        log.warning("encoder is listed but does not encode: it is not offered", encoder=name)
    elif answer is _Answer.LATE:
        log.warning("encoder could not be tried in time: it is offered", encoder=name, seconds=ONE_SECONDS)
    return answer is _Answer.FAILS


def _answer(tried: Tried, names: Iterable[str], seconds: float) -> _Answer:
    """All of *names*, each to an output of its own, in one process and time limit."""
    outputs: list[str] = []
    for name in names:
        kind, source = ("a", 1) if name in AUDIO_ENCODERS else ("v", 0)
        outputs += ["-map", f"{source}:{kind}", f"-frames:{kind}", "1", f"-c:{kind}", name, "-f", "null", "-"]
    return _run(tried, [*_SOURCES, *outputs], seconds)


def _run(tried: Tried, argv: Iterable[str], seconds: float) -> _Answer:
    words = (str(tried.ffmpeg), "-nostdin", "-v", "error", *argv)
    with spawn(Command(argv=words, marker="trial", confinement=tried.confinement)) as child:
        try:
            child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            return _Answer.LATE
    return _Answer.WORKS if child.returncode == 0 else _Answer.FAILS
