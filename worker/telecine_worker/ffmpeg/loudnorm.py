"""What FFmpeg's filter loudnorm does in its second run, by what its first one measured: one volume for all of a sound where
that keeps its range and its peak within the targets, else a volume that changes from moment to moment (af_loudnorm.c).
"""

from __future__ import annotations

from collections.abc import Mapping

from telecine_worker.ffmpeg.warning import MediaWarning, WarningReason

# Sounds that are more even than this are told to be no more than it: the filter takes 0 for "not measured".
LEAST_RANGE_LU = 0.01
# Louder ones are not given to it: 0 is "not measured", too.
LOUDEST_LUFS = -0.01


def warnings(values: Mapping[str, float]) -> tuple[MediaWarning, ...]:
    """At most one. *values* are what was measured, and the targets (names of Findings.measurements)."""
    names = [f"loudness.{name}" for name in ("integrated_lufs", "true_peak_dbtp", "range_lu")]
    targets = [name.replace(".", ".target_") for name in names]
    if any(name not in values for name in (*names, *targets)) or values[names[0]] > LOUDEST_LUFS:
        return ()
    loud, peak, span = (values[name] for name in names)
    wanted, most_peak, most_span = (values[name] for name in targets)
    reached = round(peak + wanted - loud, 2)
    reasons = [
        *([f"its peaks would be at {reached:.2f} dBTP"] if reached > most_peak else []),
        *([f"its range is {span:.2f} LU"] if span > most_span else []),
    ]
    if not reasons:
        return ()
    message = (
        f"the sound cannot be made {wanted:.2f} LUFS loud by one volume for all of it: {' and '.join(reasons)}, and at most "
        f"{most_peak:.2f} dBTP and {most_span:.2f} LU are wanted; it was compressed, or, below 3 s, left quieter. It has "
        f"{loud:.2f} LUFS, peaks at {peak:.2f} dBTP and a range of {span:.2f} LU"
    )
    return (MediaWarning(reason=WarningReason.LOUDNESS_COMPRESSED, message=message),)
