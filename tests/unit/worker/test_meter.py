"""The fraction of a whole attempt: weighted, never going back, below 1 until published."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecine_worker.ffmpeg.progress import Block, Meter, Phase, Stage


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


FIRST = Stage(phase=Phase.ANALYZING, weight=0.4, duration=timedelta(seconds=10), frame_count=300)
SECOND = Stage(phase=Phase.ENCODING, weight=1.0, duration=timedelta(seconds=10), frame_count=300)
LAST = Stage(phase=Phase.VERIFYING, weight=0.6)


def position(seconds: float) -> Block:
    """A report that this much media time is done."""
    return Block(position=timedelta(seconds=seconds))


def test_stages_weigh():
    """Half of a first pass of weight 0.4 is a tenth of 2.0; frames count when they are ahead of time."""
    meter = Meter(Clock())
    meter.plan([FIRST, SECOND, LAST])
    meter.begin(FIRST)
    meter.update(position(5))
    assert pytest.approx(0.1) == meter.snapshot().fraction
    meter.begin(SECOND)
    assert pytest.approx(0.2) == meter.snapshot().fraction
    meter.update(Block(position=timedelta(0), frame_count=150))
    assert pytest.approx(0.45) == meter.snapshot().fraction
    meter.begin(LAST)
    assert pytest.approx(0.7) == meter.snapshot().fraction


def test_one_comes_only_with_publishing():
    """More frames than expected stay below 1."""
    meter = Meter(Clock())
    meter.plan([SECOND])
    meter.begin(SECOND)
    meter.update(Block(frame_count=10_000))
    assert 0.999 == meter.snapshot().fraction
    meter.published()
    assert 1.0 == meter.snapshot().fraction


def test_an_unknown_duration_is_an_unknown_fraction():
    """Frames, sizes and speed are shown; a fraction only once it is published."""
    meter = Meter(Clock())
    meter.plan([Stage(phase=Phase.ENCODING, weight=1.0), LAST])
    meter.begin(Stage(phase=Phase.ENCODING, weight=1.0))
    meter.update(Block(position=timedelta(seconds=3), frame_count=90, speed=2.0, output_size_bytes=7))
    shown = meter.snapshot()
    assert (None, None, None) == (shown.fraction, shown.remaining, shown.media_duration)
    assert (90, 2.0, 7) == (shown.frame_count, shown.speed, shown.output_size_bytes)
    meter.published()
    assert 1.0 == meter.snapshot().fraction


def test_before_the_plan_nothing_is_known():
    """Fetching and probing have a phase and no fraction."""
    meter = Meter(Clock())
    meter.enter(Phase.PROBING)
    assert (Phase.PROBING, None) == (meter.snapshot().phase, meter.snapshot().fraction)


@given(st.lists(st.floats(0, 20), max_size=30))
def test_nothing_that_grows_goes_back(seconds):
    """Whatever order positions come in, fraction, position, frames and size only grow within a pass."""
    meter = Meter(Clock())
    meter.plan([SECOND, LAST])
    meter.begin(SECOND)
    shown = []
    for second in seconds:
        meter.update(Block(position=timedelta(seconds=second), frame_count=int(second), output_size_bytes=int(second)))
        shown.append(meter.snapshot())
    for field in ("fraction", "media_position", "frame_count", "output_size_bytes"):
        values = [getattr(each, field) for each in shown]
        assert values == sorted(values)


def test_a_report_without_a_value_keeps_the_last_one():
    """N/A after a number does not make it unknown again."""
    meter = Meter(Clock())
    meter.begin(SECOND)
    meter.update(position(4))
    meter.update(Block())
    assert timedelta(seconds=4) == meter.snapshot().media_position


def test_time_left():
    """None in the first two seconds; then at the pace of the last half minute, not of the whole."""
    clock = Clock()
    meter = Meter(clock)
    meter.plan([SECOND])
    meter.begin(SECOND)
    clock.now += 1.9
    meter.update(position(1))
    assert meter.snapshot().remaining is None
    clock.now += 0.1
    meter.update(position(1))
    assert pytest.approx(timedelta(seconds=18), abs=timedelta(milliseconds=10)) == meter.snapshot().remaining
    clock.now += 100
    meter.update(position(2))
    clock.now += 30
    meter.update(position(5))
    assert pytest.approx(timedelta(seconds=50), abs=timedelta(seconds=1)) == meter.snapshot().remaining
    meter.published()
    assert timedelta(0) == meter.snapshot().remaining


def test_no_time_left_is_told_when_nothing_moves():
    """No pace, no promise."""
    clock = Clock()
    meter = Meter(clock)
    meter.plan([SECOND])
    meter.begin(SECOND)
    meter.update(position(1))
    for _ in range(100):
        clock.now += 1
        meter.update(position(1))
    assert meter.snapshot().remaining is None


def test_the_time_of_each_phase_is_counted():
    """Two steps of one phase are one; a phase that was entered and left at once is there; the present one goes on."""
    clock = Clock()
    meter = Meter(clock)
    clock.now += 1
    meter.enter(Phase.PROBING)
    meter.begin(FIRST)
    clock.now += 2
    meter.begin(SECOND)
    clock.now += 3
    meter.begin(SECOND)
    clock.now += 4
    expected = {Phase.FETCHING: 1, Phase.PROBING: 0, Phase.ANALYZING: 2, Phase.ENCODING: 7}
    assert expected == {phase: spent.total_seconds() for phase, spent in meter.phases.items()}
    clock.now += 1
    assert timedelta(seconds=8) == meter.phases[Phase.ENCODING]
