"""Loudness after EBU R128 in two passes: measured in the first, applied in the second, linearly where that is possible
(reference 2.3, R6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from telecine.v1 import media_pb2
from telecine_worker.ffmpeg.loudnorm import LEAST_RANGE_LU, LOUDEST_LUFS
from telecine_worker.tasks.filter_text import chain, filter_text
from telecine_worker.tasks.plan import Argument, MeasuredPlace

DEFAULT_INTEGRATED_LUFS = -16.0
DEFAULT_TRUE_PEAK_DBTP = -1.5
DEFAULT_RANGE_LU = 11.0
FILTERS = frozenset({"loudnorm", "volume", "anull"})
# Of the time of encoding sound and pictures: measured, 0.9 s of CPU for a minute of sound.
MEASURING_WEIGHT = 0.1

_NO_CHANGE = filter_text("anull")
# What loudnorm takes as measured. Sound that is louder than full scale (a square wave) is none of it.
_WITHIN = {"loudness.integrated_lufs": (-99.0, LOUDEST_LUFS), "loudness.true_peak_dbtp": (-99.0, 99.0)}
_UNEVEN = {"loudness.range_lu": (LEAST_RANGE_LU, 99.0)}
_MEASURED = (
    "measured_I=%(loudness.integrated_lufs).2f:measured_TP=%(loudness.true_peak_dbtp).2f:"
    "measured_LRA={}:measured_thresh=%(loudness.threshold_lufs).2f:"
    "offset=%(loudness.offset_lu).2f:linear=true:print_format=none"
)


def planned(loudness: media_pb2.Loudness) -> Mapping[str, float]:
    """The targets, by the names under which they are told."""
    has = loudness.HasField
    return {
        "loudness.target_integrated_lufs": loudness.integrated_lufs
        if has("integrated_lufs")
        else DEFAULT_INTEGRATED_LUFS,
        "loudness.target_true_peak_dbtp": loudness.true_peak_dbtp if has("true_peak_dbtp") else DEFAULT_TRUE_PEAK_DBTP,
        "loudness.target_range_lu": loudness.range_lu if has("range_lu") else DEFAULT_RANGE_LU,
    }


def measuring(loudness: media_pb2.Loudness, before: Sequence[str]) -> str:
    """The filters of the first pass. *before* makes the channels that will be encoded: a mix is as loud as it is."""
    return chain([*before, f"{_targets(loudness)}:print_format=json"])


def applying(loudness: media_pb2.Loudness, before: Sequence[str]) -> Argument:
    """Those of the second. Silence, of which nothing is measured, passes unchanged; what is too loud for the filter is only
    made quieter, to which end nothing has to be limited.
    """
    target = planned(loudness)["loudness.target_integrated_lufs"]
    quieter = chain([*before, f"volume='pow(10,({target:.2f}-(%(loudness.integrated_lufs).2f))/20)'"])
    uneven, even = (
        chain([*before, f"{_targets(loudness)}:{_MEASURED.format(span)}"])
        for span in ("%(loudness.range_lu).2f", f"{LEAST_RANGE_LU:.2f}")
    )
    otherwise = MeasuredPlace(text=quieter, otherwise=chain([*before, _NO_CHANGE]))
    return MeasuredPlace(
        text=uneven,
        within={**_WITHIN, **_UNEVEN},
        otherwise=MeasuredPlace(text=even, within=_WITHIN, otherwise=otherwise),
    )


def _targets(loudness: media_pb2.Loudness) -> str:
    integrated, peak, span = planned(loudness).values()
    return filter_text("loudnorm", I=f"{integrated:.2f}", TP=f"{peak:.2f}", LRA=f"{span:.2f}")
