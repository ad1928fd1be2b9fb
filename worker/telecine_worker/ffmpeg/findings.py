"""What one decode of an input finds out, read from FFmpeg's log line by line as it comes.

The detectors say each finding in a line of their own (scdet, blackdetect, silencedetect; the last ones when the input
ends), loudnorm its measurement in a block of JSON at the end, and FFmpeg how much it decoded in a few lines at level
verbose. The lines are the same from 5.1 to 9.0. What is kept is bounded however much there is to find.

Before it begins FFmpeg repeats what the file says of itself, in part as it stands: the name of a tag, or a language, that
holds line feeds makes lines of any kind. Whatever stands before the last "Stream mapping:" is therefore no finding, and
nothing of the file may be repeated after it (tasks/probing.py).
"""

from __future__ import annotations

import enum
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction

from telecine_worker.ffmpeg.damage import ERROR_LINE

MOST_DETECTIONS = 1000
"""Of each kind. All are counted."""

_COMPONENT = r"^\[(?:Parsed_)?{}(?:_\d+)? @[^\]]*\] \[info\] "
_SCENE = re.compile(_COMPONENT.format("scdet") + r"lavfi\.scd\.score: (\S+), lavfi\.scd\.time: (\S+)")
_BLACK = re.compile(_COMPONENT.format("blackdetect") + r"black_start:(\S+) black_end:(\S+)")
_SILENCE_START = re.compile(_COMPONENT.format("silencedetect") + r"silence_start: (\S+)")
_SILENCE_END = re.compile(_COMPONENT.format("silencedetect") + r"silence_end: (\S+)")
_QUALITY = re.compile(_COMPONENT.format("(?:ssim|psnr|libvmaf)") + r"(SSIM|PSNR|VMAF) .*?(?:All|average|score): ?(\S+)")
_LOUDNESS = re.compile(r'^\s*"(input_i|input_tp|input_lra|input_thresh|target_offset)" : "([^"]*)"')
_BEGINNING = re.compile(r"^\[info\] Stream mapping:$")
_DECODED = re.compile(r"^(?:\[[^\]]*\] )*\[verbose\] +Input stream #\S+ \((video|audio)\): .* (\d+) frames decoded\b")
_LOUDNESS_NAMES = {
    "input_i": "loudness.integrated_lufs",
    "input_tp": "loudness.true_peak_dbtp",
    "input_lra": "loudness.range_lu",
    "input_thresh": "loudness.threshold_lufs",
    "target_offset": "loudness.offset_lu",
}
_QUALITY_NAMES = {"SSIM": "quality.ssim", "PSNR": "quality.psnr_db", "VMAF": "quality.vmaf"}
# What is said of pictures that do not differ at all, and at most of any.
MOST_PSNR_DB = 100.0
# Of the filter to itself, from the first pass to the second.
_OFFSET = "loudness.offset_lu"


class DetectionKind(enum.StrEnum):
    """The words of telecine.v1.Detection.Kind."""

    SCENE_CHANGE = "scene_change"
    BLACK = "black"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Times count from the start of the input. *end* is None and *score* (0..1) is set for a change of scene only."""

    kind: DetectionKind
    start: timedelta
    end: timedelta | None = None
    score: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to look for. *planned* is told beside what was measured: what the steps aim at. The pictures of a comparison come at
    *compared_rate*.
    """

    decode: bool = False
    loudness: bool = False
    scenes: bool = False
    black: bool = False
    silence: bool = False
    quality: bool = False
    compared_rate: Fraction | None = None
    planned: Mapping[str, float] = field(default_factory=dict)


class Findings:
    """Fed with the log of a run; see the module."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        # Those of opening the file count, too: a file that forges some only speaks against itself.
        self._errors = 0
        self._readers = self._chosen()
        self._begin()

    def _begin(self) -> None:
        """Nothing was found yet."""
        self._decoded: Counter[str] = Counter()
        self._loudness: dict[str, float] = {}
        self._quality: dict[str, float] = {}
        self._found: dict[DetectionKind, list[Detection]] = {kind: [] for kind in DetectionKind}
        self._counts: Counter[DetectionKind] = Counter()
        self._lengths: Counter[DetectionKind] = Counter()
        self._silent_from: timedelta | None = None

    def _chosen(self) -> list[tuple[re.Pattern[str], Callable[[re.Match[str]], None]]]:
        silence = [(_SILENCE_START, self._begin_silence), (_SILENCE_END, self._end_silence)]
        return [
            *([(_SCENE, self._scene)] if self._wanted.scenes else []),
            *([(_BLACK, self._black)] if self._wanted.black else []),
            *(silence if self._wanted.silence else []),
            *([(_LOUDNESS, self._loud)] if self._wanted.loudness else []),
            *([(_QUALITY, self._close)] if self._wanted.quality else []),
            *([(ERROR_LINE, self._error), (_DECODED, self._stream)] if self._wanted.decode else []),
        ]

    def line(self, text: str) -> None:
        """Take the next line of the log."""
        if _BEGINNING.search(text):
            self._begin()
            return
        for pattern, read in self._readers:
            match = pattern.search(text)
            if match:
                read(match)
                return

    def ended(self, frame_count: int | None) -> None:
        """A run is over, with so many pictures."""
        if self._wanted.compared_rate is not None and frame_count is not None:
            self._quality["quality.duration_seconds"] = float(frame_count / self._wanted.compared_rate)

    @property
    def detections(self) -> tuple[Detection, ...]:
        """In order of time; at most MOST_DETECTIONS of each kind, the first ones."""
        return tuple(sorted((each for kind in self._found.values() for each in kind), key=lambda each: each.start))

    @property
    def measurements(self) -> dict[str, float]:
        """By name. Silence has no loudness: where it would be infinite, the value is left out."""
        values = {name: value for name, value in self.values.items() if name != _OFFSET}
        if "loudness.integrated_lufs" not in values:
            # Nothing was loud enough to be counted: the range and the threshold that FFmpeg prints say nothing.
            values = {name: value for name, value in values.items() if name == "loudness.true_peak_dbtp"}
        values |= self._quality
        if self._wanted.decode:
            values["decode.error_count"] = self._errors
            values["decode.video_frame_count"] = self._decoded["video"]
            values["decode.audio_frame_count"] = self._decoded["audio"]
        if self._wanted.scenes:
            values["scenes.count"] = self._counts[DetectionKind.SCENE_CHANGE]
        for name, kind, wanted in (
            ("black", DetectionKind.BLACK, self._wanted.black),
            ("silence", DetectionKind.SILENCE, self._wanted.silence),
        ):
            if wanted:
                values[f"{name}.count"] = self._counts[kind]
                values[f"{name}.duration_seconds"] = self._lengths[kind] / 1_000_000
        return {**values, **self._wanted.planned}

    @property
    def values(self) -> Mapping[str, float]:
        """What later steps are told by (see MeasuredPlace): of loudness, whatever is a number."""
        return self._loudness

    def _scene(self, match: re.Match[str]) -> None:
        score, at = _number(match[1]), _time(match[2])
        if score is not None and at is not None:
            self._add(Detection(kind=DetectionKind.SCENE_CHANGE, start=at, score=min(1.0, max(0.0, score / 100))))

    def _black(self, match: re.Match[str]) -> None:
        self._add_part(DetectionKind.BLACK, _time(match[1]), _time(match[2]))

    def _begin_silence(self, match: re.Match[str]) -> None:
        self._silent_from = _time(match[1])

    def _end_silence(self, match: re.Match[str]) -> None:
        self._add_part(DetectionKind.SILENCE, self._silent_from, _time(match[1]))
        self._silent_from = None

    def _loud(self, match: re.Match[str]) -> None:
        value = _number(match[2])
        if value is not None:
            self._loudness[_LOUDNESS_NAMES[match[1]]] = value

    def _close(self, match: re.Match[str]) -> None:
        value = MOST_PSNR_DB if match[2] == "inf" else _number(match[2])
        if value is not None:
            self._quality[_QUALITY_NAMES[match[1]]] = min(value, MOST_PSNR_DB)

    def _error(self, _match: re.Match[str]) -> None:
        self._errors += 1

    def _stream(self, match: re.Match[str]) -> None:
        self._decoded[match[1]] += int(match[2])

    def _add_part(self, kind: DetectionKind, start: timedelta | None, end: timedelta | None) -> None:
        if start is not None and end is not None and end > start:
            self._lengths[kind] += (end - start) // timedelta(microseconds=1)
            self._add(Detection(kind=kind, start=start, end=end))

    def _add(self, detection: Detection) -> None:
        self._counts[detection.kind] += 1
        if len(self._found[detection.kind]) < MOST_DETECTIONS:
            self._found[detection.kind].append(detection)


def _number(text: str) -> float | None:
    """None for what is no finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _time(text: str) -> timedelta | None:
    """Seconds; what lies before the start (priming samples of a sound track) begins with it."""
    seconds = _number(text)
    return None if seconds is None else timedelta(seconds=min(max(0.0, seconds), 10**9))
