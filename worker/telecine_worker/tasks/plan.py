"""What an attempt will do: FFmpeg's arguments with named places instead of paths, and what must come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.ffmpeg.expected_package import ExpectedPackage
from telecine_worker.ffmpeg.findings import Wanted
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.tasks.arrivals import Arrival


@dataclass(frozen=True, slots=True)
class InputPlace:
    """Stands in arguments for the input *name*."""

    name: str

    def __str__(self) -> str:
        return f"{{in:{self.name}}}"


@dataclass(frozen=True, slots=True)
class OutputPlace:
    """Stands in arguments for the staged file *file_name*."""

    file_name: str

    def __str__(self) -> str:
        return f"{{out:{self.file_name}}}"


@dataclass(frozen=True, slots=True)
class MeasuredPlace:
    """Stands in arguments for *text* with what earlier steps measured: %(loudness.integrated_lufs).2f and the like, by the
    names of Findings.values, a percent sign said twice. Where one of them was not measured, or is not *within* the bounds that
    are said for it, *otherwise* stands there.
    """

    text: str
    otherwise: str | MeasuredPlace
    within: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{{measured:{self.text}}}"

    def filled(self, measurements: Mapping[str, float]) -> str:
        """The argument itself."""
        bounds = self.within.items()
        if all(name in measurements and least <= measurements[name] <= most for name, (least, most) in bounds):
            try:
                return self.text % measurements
            except KeyError:
                pass
        return self.otherwise if isinstance(self.otherwise, str) else self.otherwise.filled(measurements)


Argument = str | InputPlace | OutputPlace | MeasuredPlace


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A text file that is in the staging folder before the first step, as *file_name*: each line is its arguments joined,
    inputs as the URLs that FFmpeg opens.
    """

    file_name: str
    lines: tuple[tuple[Argument, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One run of FFmpeg. *argv* follows the program's name and the options of every run (see ffmpeg/run.py).

    *weight* is its share of the work, relative to the other steps. *duration* and *frame_count* are what progress
    counts to; None is unknown. With *measures_damage* a run that ends because the input is damaged has done its work, and
    with *tells_damage* damage is a warning, whatever the damage policy; with *partial* one that lacks some of its files, where
    the input ends early. Where its output lasts less than *least_duration*, or has less than *least_pictures* though gaps are
    filled, the input ends before its own length; where it reaches *most_duration* or *most_pictures*, where it is cut, the
    input goes on after it. *otherwise* is run after a step that wrote nothing, or less than *least_frames*, and where
    *hardware*, the encoder that is tried, failed. *arrivals* is what has to come of the sources where the length of the output
    says nothing of them; where no picture comes at all of one, nothing was written. With *intact* damage ends it, whatever the
    damage policy.
    """

    argv: tuple[Argument, ...]
    phase: Phase = Phase.ENCODING
    weight: float = 1.0
    duration: timedelta | None = None
    frame_count: int | None = None
    measures_damage: bool = False
    tells_damage: bool = False
    partial: bool = False
    least_duration: timedelta | None = None
    least_pictures: int = 0
    most_duration: timedelta | None = None
    most_pictures: int = 0
    least_frames: int = 0
    hardware: str = ""
    otherwise: Step | None = None
    arrivals: tuple[Arrival, ...] = ()
    intact: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what it reads, by FFmpeg's numbers; empty for files of our own."""
        read = [after for option, after in pairwise(self.argv) if option == "-i"]
        return tuple(each.name if isinstance(each, InputPlace) else "" for each in read)

    @property
    def written(self) -> tuple[str, ...]:
        """The staged files that it makes."""
        pairs = pairwise(("", *self.argv))
        return tuple(each.file_name for before, each in pairs if isinstance(each, OutputPlace) and before != "-i")

    def filled(self, inputs: Mapping[str, str], measurements: Mapping[str, float]) -> list[str]:
        """The arguments with places filled: inputs by their URLs, outputs relative to the staging folder, measured values by
        what earlier steps found.
        """
        return [filled(argument, inputs, measurements) for argument in self.argv]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in order, and the artifacts in the order in which they are published.

    *filters* are those that a build of FFmpeg may be without, with what of the task needs each. *wanted* is what to read from
    the log of the steps. *sequence* is set when the artifacts are stills: the pattern of their staged names, %d counting from
    1. *scripts* are files that we write ourselves, for FFmpeg or as artifacts. *package* is set when a package is made, whose
    segments nobody can name before; *artifacts* are then its playlists and its manifest. *examination* decodes what is copied,
    of which nothing else is known. *fewer* is the plan of what there is where so many pictures were counted, and more planned.
    """

    steps: tuple[Step, ...]
    artifacts: tuple[Expected, ...] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    wanted: Wanted | None = None
    sequence: str = ""
    scripts: tuple[Script, ...] = ()
    package: ExpectedPackage | None = None
    examination: tuple[Step, ...] = ()
    fewer: Callable[[int], Plan] | None = None

    def check_filters(self, filters: Set[str]) -> None:
        """Raise AttemptFailed UNSUPPORTED_OPTION where an FFmpeg that has *filters* lacks one."""
        for name, option in self.filters.items():
            if name not in filters:
                raise permanent(
                    "UNSUPPORTED_OPTION", f"{option}: FFmpeg on this worker has no filter {name}, which it needs"
                )


def filled(argument: Argument, inputs: Mapping[str, str], measurements: Mapping[str, float]) -> str:
    """One argument with its place filled."""
    match argument:
        case MeasuredPlace():
            return argument.filled(measurements)
        case InputPlace(name):
            return inputs[name]
        case OutputPlace(file_name):
            return f"file:{file_name}"
        case _:
            return argument
