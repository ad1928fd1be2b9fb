"""Where the filter of loudness cannot do with one volume: by what it measured, and what it is to reach."""

from __future__ import annotations

import pytest

from telecine_worker.ffmpeg.loudnorm import warnings

MEASURED = {"integrated_lufs": -26.0, "true_peak_dbtp": -12.0, "range_lu": 8.0}
TARGETS = {"target_integrated_lufs": -16.0, "target_true_peak_dbtp": -2.0, "target_range_lu": 8.0}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, ""),
        ({"true_peak_dbtp": -11.99}, "its peaks would be at -1.99 dBTP, and"),
        ({"range_lu": 8.01}, "its range is 8.01 LU, and"),
        ({"true_peak_dbtp": 1.0, "range_lu": 20.0}, "its peaks would be at 11.00 dBTP and its range is 20.00 LU, and"),
        ({"integrated_lufs": 0.0, "true_peak_dbtp": 3.0, "range_lu": 20.0}, ""),
    ],
)
def test_what_one_volume_cannot_do_is_said(found, said):
    """At the targets it still does; what is too loud for the filter is only made quieter."""
    values = {f"loudness.{name}": value for name, value in {**MEASURED, **found, **TARGETS}.items()}
    told = [each.message for each in warnings(values)]
    assert bool(said) is bool(told)
    assert all(said in each and "at most -2.00 dBTP and 8.00 LU are wanted" in each for each in told)


def test_what_was_not_measured_or_not_asked_for_is_no_warning():
    """Silence, and a probe, which has no target."""
    loud = {f"loudness.{name}": value for name, value in {**MEASURED, "true_peak_dbtp": 3.0}.items()}
    targets = {f"loudness.{name}": value for name, value in TARGETS.items()}
    assert ((), (), 1) == (warnings(loud), warnings(targets), len(warnings({**loud, **targets})))
