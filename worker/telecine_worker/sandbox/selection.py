"""Which sandbox a worker uses: what the operator says, or the strongest that holds on this machine."""

from __future__ import annotations

import enum
import glob
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from telecine_worker.sandbox import cgroups
from telecine_worker.sandbox.confinement import NONE, Confinement, Limits, Mode
from telecine_worker.sandbox.self_test import weakness_of

SETTING = "TELECINE_SANDBOX"
# What programs and their libraries read wherever they are, and what tells encoders how many processors there are. Not /etc.
_SYSTEM = (
    "/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives", "/etc/ld.so.cache", "/etc/fonts",
    "/var/cache/fontconfig", "/sys/devices/system/cpu", "/sys/devices/system/node",
)  # fmt: skip
# bubblewrap makes these anew.
_LANDLOCK = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/dev/urandom", "/dev/random", "/dev/zero")
_DEVICES = ("/dev/dri", "/dev/nvidia*", "/dev/kfd", "/dev/dxg")
_OF_DEVICES = ("/sys/dev/char", "/sys/devices/pci0000:00", "/sys/class/drm", "/proc/driver/nvidia")
_LDD_SECONDS = 10
_LIBRARY = re.compile(r"(?:=> |^\s*)(/\S+) \(0x", re.MULTILINE)


class Wish(enum.StrEnum):
    """What TELECINE_SANDBOX says."""

    AUTO = "auto"
    BWRAP = "bwrap"
    LANDLOCK = "landlock"
    OFF = "off"


class SandboxRefused(Exception):
    """No sandbox that was asked for holds, or the control groups cannot be used. The message says why, and what would be
    right.
    """


def choose(wish: Wish, *, programs: Sequence[Path], environment: dict[str, str], limits: Limits) -> Confinement:
    """The confinement for *programs*. Blocks for a fraction of a second, in a thread that lasts. *environment* is that of
    children. Raises SandboxRefused.
    """
    if limits.cgroups:
        _check_cgroups(limits)
    if wish is Wish.OFF:
        return replace(NONE, limits=limits)
    reasons = []
    for mode in (Mode.BWRAP, Mode.LANDLOCK) if wish is Wish.AUTO else (Mode(wish),):
        found = _made(mode, programs)
        weakness = "bwrap is not on PATH" if found is None else weakness_of(found, environment)
        if found is not None and weakness is None:
            return replace(found, limits=limits)
        reasons.append(f"{mode}: {weakness}")
    raise SandboxRefused(
        f"no sandbox for FFmpeg holds on this machine ({'; '.join(reasons)}). Install bubblewrap 0.8 or newer, or run where "
        f"Linux has Landlock; {SETTING}=off runs FFmpeg unconfined"
    )


def _check_cgroups(limits: Limits) -> None:
    try:
        cgroups.check(limits.cgroups, limits.most_memory_bytes)
    except cgroups.CgroupUnusable as error:
        raise SandboxRefused(f"TELECINE_CGROUPS: {error}") from error


def _made(mode: Mode, programs: Sequence[Path]) -> Confinement | None:
    bwrap = shutil.which("bwrap") or ""
    if mode is Mode.BWRAP and not bwrap:
        return None
    devices = [path for pattern in _DEVICES for path in sorted(glob.glob(pattern))]  # noqa: PTH207 - absolute patterns
    readable = [*_SYSTEM, *_libraries(programs), *(os.path.realpath(program) for program in programs)]
    readable += [str(program) for program in programs]
    if devices:
        readable += _OF_DEVICES
    if mode is Mode.LANDLOCK:
        readable, devices = [*readable, *_LANDLOCK], [*devices, "/dev/null"]
    return Confinement(mode=mode, bwrap=bwrap, readable=tuple(_needed(readable)), devices=tuple(devices))


def _needed(paths: Sequence[str]) -> Iterator[str]:
    """Those that are there, once, and without what lies below another one."""
    kept: list[str] = []
    for path in paths:
        if os.path.lexists(path) and not any(path == each or path.startswith(f"{each}/") for each in kept):
            kept.append(path)
            yield path


def _libraries(programs: Sequence[Path]) -> list[str]:
    """The folders of what *programs* load; a static program loads nothing, and says so by failing."""
    found = set()
    for program in programs:
        try:
            ran = subprocess.run(
                [program], env={"LD_TRACE_LOADED_OBJECTS": "1", "LC_ALL": "C"}, stdin=subprocess.DEVNULL,
                capture_output=True, timeout=_LDD_SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            continue
        found |= {os.path.dirname(path) for path in _LIBRARY.findall(ran.stdout.decode(errors="replace"))}  # noqa: PTH120
    return sorted(found)
