"""What a worker says about its sandbox: to the scheduler, in its metrics and in its log."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.request

import pytest

from support.confined import confined
from support.ffmpeg_under_test import confinement_under_test
from support.scripted_scheduler import ScriptedScheduler
from support.worker_process import Start


@pytest.mark.parametrize(
    ("mode", "labels"),
    [("bwrap", {"sandbox/bwrap", "sandbox/landlock"}), ("landlock", {"sandbox/landlock"}), ("off", set())],
)
async def test_a_worker_offers_its_sandbox(
    scheduler: ScriptedScheduler, start: Start, mode: str, labels: set[str]
) -> None:
    """As labels, with the weaker ones, so that a job can ask for a minimum; as a metric; and off is a warning."""
    if mode != "off":
        confined(mode)
    async with start("", "--sandbox", mode) as process:
        stream = await scheduler.welcomed()
        assert process.stdout is not None
        ready = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        address = ready.split("metrics=")[1].strip()
        with await asyncio.to_thread(urllib.request.urlopen, f"http://{address}/metrics", timeout=10) as page:
            text = page.read().decode()
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), 30)
    assert labels == {label for label in stream.hello.capabilities if label.startswith("sandbox/")}
    shown = {line for line in text.splitlines() if line.startswith("telecine_worker_sandbox{")}
    assert {
        f'telecine_worker_sandbox{{mode="{each}"}} {float(each == mode)}' for each in ("bwrap", "landlock", "off")
    } == shown
    assert (mode == "off") == (b"FFmpeg is not confined" in said)
    assert f'"sandbox": "{mode}"'.encode() in said


def test_the_tests_are_confined_where_anything_holds() -> None:
    """Or else this says what does not."""
    wish = os.environ.get("TELECINE_TEST_SANDBOX", "auto")
    if confinement_under_test().mode == "off" and wish != "off":
        confined("landlock")
