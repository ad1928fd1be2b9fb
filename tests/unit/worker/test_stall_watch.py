"""When FFmpeg is stalled: no progress, no CPU time and no I/O, all of them, for the whole time."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta

import pytest

from telecine_worker.ffmpeg import limits
from telecine_worker.ffmpeg.limits import LEAST_MOVED_BYTES, Activity, StallWatch


class World:
    """What the watch sees, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.progress = 0
        self.said_bytes = 0
        self.pid = 1
        self.activity: Activity | None = Activity(0, 0)


@pytest.fixture
def world(monkeypatch) -> World:
    """In place of /proc and the clock."""
    made = World()
    monkeypatch.setattr(limits, "activity", lambda _pid: made.activity)
    return made


@pytest.fixture
def watch(world) -> StallWatch:
    """With a timeout of ten seconds."""
    return StallWatch(
        lambda: world.pid,
        timeout=timedelta(seconds=10),
        advanced=lambda: world.progress,
        said_bytes=lambda: world.said_bytes,
        now=lambda: world.seconds,
    )


def test_nothing_for_the_whole_time_is_a_stall(world, watch):
    """Not a moment earlier."""
    world.seconds = 9.9
    assert not watch.is_stalled()
    world.seconds = 10.0
    assert watch.is_stalled()


@pytest.mark.parametrize("sign", ["progress", "cpu", "io"])
def test_any_sign_of_life_begins_the_time_anew(world, watch, sign):
    """A look-ahead uses CPU, moving an index moves bytes, and progress is progress."""
    world.seconds = 9.0
    if sign == "progress":
        world.progress = 1
    else:
        world.activity = Activity(18, 0) if sign == "cpu" else Activity(0, LEAST_MOVED_BYTES)
    assert not watch.is_stalled()
    world.seconds = 18.9
    assert not watch.is_stalled()
    world.seconds = 19.0
    assert watch.is_stalled()


def test_a_few_ticks_are_no_life(world, watch):
    """A process that only wakes up for its timers stands still, though its ticks add up in the end."""
    for second in range(1, 11):
        world.seconds = float(second)
        world.activity = Activity(min(second, 2), 0)
        stalled = watch.is_stalled()
    assert stalled


def test_reports_of_standing_still_are_no_life(world, watch):
    """What a process writes about itself moves bytes and takes ticks, and says nothing about getting anywhere."""
    for second in range(1, 11):
        world.seconds = float(second)
        world.said_bytes = 1000 * second
        world.activity = Activity(second, world.said_bytes)
        stalled = watch.is_stalled()
    assert stalled


def test_a_process_that_only_spins_has_a_longer_time(world, watch):
    """CPU time alone keeps it alive for a quarter of an hour; bytes begin that anew."""
    for minute in range(1, 15):
        world.seconds = 60.0 * minute
        world.activity = Activity(6000 * minute, 0)
        assert not watch.is_stalled()
    world.seconds = 899.0
    world.activity = Activity(90_000, LEAST_MOVED_BYTES)
    assert not watch.is_stalled()
    for minute in range(1, 15):
        world.seconds = 899.0 + 60.0 * minute
        world.activity = Activity(90_000 + 6000 * minute, LEAST_MOVED_BYTES)
        assert not watch.is_stalled()
    world.seconds = 899.0 + 900.0
    world.activity = Activity(200_000, LEAST_MOVED_BYTES)
    assert watch.is_stalled()


def test_a_process_that_becomes_known_later_is_measured_by_itself(world, watch):
    """What another one did before, which started it, says nothing about it."""
    world.activity = Activity(1000, 10**9)
    world.seconds = 1.0
    assert not watch.is_stalled()
    world.pid, world.activity = 2, Activity(0, 0)
    assert not watch.is_stalled()
    world.seconds, world.activity = 11.0, Activity(30, 0)
    assert not watch.is_stalled()
    world.seconds = 21.0
    assert watch.is_stalled()


def test_a_process_that_is_gone_is_not_stalled(world, watch):
    """Its end is somebody else's to report."""
    world.seconds, world.activity = 100.0, None
    assert not watch.is_stalled()


def test_looking_at_a_real_process():
    """This one has used CPU time and read something; one that does not exist has no activity."""
    found = limits.activity(__import__("os").getpid())
    assert found is not None
    assert found.moved_bytes > 0
    assert limits.activity(2**22 + 1) is None


def test_a_process_that_has_ended_is_no_error() -> None:
    """Between its end and its reaping an ordinary user may not read all of it; root may."""
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    found = limits.activity(child.pid)
    child.wait()

    assert (found is None) == (os.geteuid() != 0)
