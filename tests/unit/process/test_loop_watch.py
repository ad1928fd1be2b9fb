"""A loop that does not turn: it is measured, told with what it was doing, and in the end it is the process's end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

from prometheus_client import CollectorRegistry

from telecine_process.loop_watch import LoopWatch

SECONDS = 20

PROGRAM = """
import asyncio, sys, time
from prometheus_client import CollectorRegistry
from telecine_process import loop_watch
from telecine_process.logs import configure_logs
loop_watch.BEAT_SECONDS = loop_watch.LOOK_SECONDS = 0.02
loop_watch.LATE_SECONDS, loop_watch.HUNG_SECONDS = {late}, {hung}

def keep_the_loop(seconds):
    time.sleep(seconds)

async def main():
    configure_logs("info")
    with loop_watch.LoopWatch(CollectorRegistry()):
        {body}

asyncio.run(main())
"""


def program(body: str, *, late: float = 0.2, hung: float = 1.0) -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(late=late, hung=hung, body=body)]


def run(body: str, **limits: float) -> tuple[int, list[dict[str, object]]]:
    """The exit code, and the log."""
    done = subprocess.run(program(body, **limits), stderr=subprocess.PIPE, timeout=SECONDS, check=False)
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()]


def test_a_loop_that_hangs_ends_the_process() -> None:
    """Exit code 70. Told once when it is late, with what it was doing, and once at the end."""
    code, said = run("keep_the_loop(60)")

    assert (70, ["event loop does not turn", "event loop hangs, the process ends"]) == (
        code, [line["event"] for line in said]
    )  # fmt: skip
    assert "keep_the_loop" in str(said[0]["doing"])


def test_a_loop_that_turns_again_goes_on() -> None:
    """Late twice, told twice; never long enough to hang."""
    body = "[(keep_the_loop(0.6), await asyncio.sleep(0.3)) for _ in range(2)]"
    code, said = run(body, hung=5.0)

    assert (0, ["event loop does not turn"] * 2) == (code, [line["event"] for line in said])


def test_a_standard_error_that_nobody_reads_does_not_keep_the_process() -> None:
    """It may be the log that the loop hangs in."""
    body = "sys.stderr.write('x' * (1 << 20))"
    process = subprocess.Popen(program(body), stderr=subprocess.PIPE)
    try:
        assert 70 == process.wait(SECONDS)
    finally:
        process.kill()
        process.communicate()


def test_a_process_that_was_stopped_is_not_late() -> None:
    """SIGSTOP for longer than a loop may hang: it goes on, and says nothing of it."""
    body = "print('turning', flush=True); await asyncio.sleep(3)"
    process = subprocess.Popen(program(body, hung=0.5), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout
        assert b"turning\n" == process.stdout.readline()
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(2)  # not a wait for something: this is how long it is stopped
        os.kill(process.pid, signal.SIGCONT)
        _, said = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert (0, b"") == (process.returncode, said)


async def test_the_lag_is_observed() -> None:
    """A loop that turns is hardly late; one that was kept is by so much."""
    registry = CollectorRegistry()
    with LoopWatch(registry):
        async with asyncio.timeout(SECONDS):
            while not registry.get_sample_value("telecine_loop_lag_seconds_count"):
                await asyncio.sleep(0.01)
        time.sleep(0.6)  # this keeps the loop
        async with asyncio.timeout(SECONDS):
            while (registry.get_sample_value("telecine_loop_lag_seconds_sum") or 0.0) < 0.3:
                await asyncio.sleep(0.01)
