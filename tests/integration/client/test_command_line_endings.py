"""Ends that nobody wants: outputs that take nothing, signals, words that are no text, schedulers that are away."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.client.conftest import ScriptedScheduler, job, stream
from tests.integration.client.test_command_line import QUEUED, RUNNING, SUCCEEDED, environment, found, run

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2

SECONDS = 20


async def nothing_listed(request: object, context: Any) -> service_pb2.ListJobsResponse:
    """ListJobs' answer."""
    return service_pb2.ListJobsResponse()


async def begin(*args: str, out: int, columns: int = 100) -> asyncio.subprocess.Process:
    """The command with both outputs there."""
    return await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "telecine_client.cli", *args],
        stdout=out, stderr=out, env=environment() | {"TERM": "xterm", "COLUMNS": str(columns)},
    )  # fmt: skip


async def screen(terminal: int, *, until: str) -> str:
    """What is written up to *until*."""
    seen = b""
    while until.encode() not in seen:
        seen += await asyncio.to_thread(os.read, terminal, 4096)
    return seen.decode(errors="replace")


async def test_a_reader_that_leaves_ends_the_command_as_its_signal_does(scheduler: ScriptedScheduler) -> None:
    """As `cat | head -1` does: shells say 141; nothing is said."""
    gate = asyncio.Event()

    async def slow(request: object, context: Any) -> AsyncIterator[service_pb2.WatchJobResponse]:
        yield service_pb2.WatchJobResponse(job=job(5, RUNNING))
        await gate.wait()
        yield service_pb2.WatchJobResponse(job=job(9, SUCCEEDED))

    scheduler.script("GetJob", found(job(1, QUEUED)))
    scheduler.script("WatchJob", slow)
    read, write = os.pipe()
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "telecine_client.cli", "watch", "j1", "--address", scheduler.address],
        stdout=write, stderr=PIPE, env=environment(),
    )  # fmt: skip
    os.close(write)
    async with asyncio.timeout(SECONDS):
        await asyncio.to_thread(os.read, read, 1)
        os.close(read)
        gate.set()
        _, err = await child.communicate()
    assert (-signal.SIGPIPE, b"") == (child.returncode, err)


async def test_an_output_that_takes_nothing_is_said(scheduler: ScriptedScheduler) -> None:
    """In one line, exit code 1."""
    scheduler.script("GetJob", found(job(9, SUCCEEDED)))
    with Path("/dev/full").open("wb") as full:
        child = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "telecine_client.cli", "get", "j1", "--address", scheduler.address],
            stdout=full, stderr=PIPE, env=environment(),
        )  # fmt: skip
        async with asyncio.timeout(SECONDS):
            _, err = await child.communicate()
    said = "telecine: standard output cannot be written: No space left on device\n"
    assert (1, said) == (child.returncode, err.decode())


async def test_an_id_that_is_no_text_is_said() -> None:
    """In one line, exit code 2."""
    ended = await run("get", os.fsdecode(b"\xff"), "--address", "127.0.0.1:1")
    assert (2, "telecine: '\\udcff' cannot be written in utf-8\n") == (ended.code, ended.err)


async def test_a_request_that_is_repeated_is_said_once() -> None:
    """After a moment, with the address and how long it will be tried; in the end what went wrong."""
    ended = await run("get", "j1", "--address", "127.0.0.1:1", "--request-timeout", "6s")
    first, last = ended.err.splitlines()
    assert (4, True) == (ended.code, "127.0.0.1:1 cannot be reached: " in last)
    assert f"{last}; trying for 6 s" == first


async def test_what_the_client_refuses_is_said_once(scheduler: ScriptedScheduler) -> None:
    """Not as a message and again as a violation of it."""
    scheduler.script("ListJobs", nothing_listed)
    ended = await run("wait", "", "--address", scheduler.address)
    assert (2, 1) == (ended.code, len(ended.err.splitlines()))
    assert "'' is no job id" in ended.err


async def test_sigterm_gives_the_terminal_back(scheduler: ScriptedScheduler) -> None:
    """Exit 143; the cursor is shown again, and what goes on is said, as at Ctrl-C."""
    scheduler.script("GetJob", found(job(1, QUEUED)))
    scheduler.script("WatchJob", stream(job(5, RUNNING, progress=job_pb2.Progress(fraction=0.42)), hang=True))
    ours, theirs = os.openpty()
    child = await begin("watch", "j1", "--address", scheduler.address, out=theirs)
    os.close(theirs)
    async with asyncio.timeout(SECONDS):
        before = await screen(ours, until=" 42%")
        child.send_signal(signal.SIGTERM)
        after = await screen(ours, until="cancel j1")
        assert 143 == await child.wait()
    os.close(ours)
    assert "\x1b[?25l" in before
    assert "\x1b[?25h" in after
    assert "the job j1 goes on" in after


@pytest.mark.parametrize("count", [1, 2])
async def test_a_long_reason_leaves_room_for_the_state(scheduler: ScriptedScheduler, count: int) -> None:
    """On a terminal of 80 columns, with ids as they are made by the client where there are several."""
    ids = ["0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee", "0199aaaa-bbbb-7ccc-8ddd-ffffffffffff"][:count]
    reason = "no connected worker serves the queue default and offers all of gpu/nvidia, task/transcode"
    jobs = [job(2, QUEUED, job_id=job_id, blocked_reason=reason) for job_id in ids]

    async def watched(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        yield service_pb2.WatchJobsResponse(jobs=jobs)
        await asyncio.Event().wait()

    scheduler.script("GetJob", found(jobs[0]))
    scheduler.script("ListJobs", nothing_listed)
    scheduler.script("WatchJob", stream(hang=True))
    scheduler.script("WatchJobs", watched)
    ours, theirs = os.openpty()
    child = await begin("watch", *ids, "--address", scheduler.address, out=theirs, columns=80)
    os.close(theirs)
    async with asyncio.timeout(SECONDS):
        shown = await screen(ours, until="…")
        child.terminate()
        await screen(ours, until="cancel")
        await child.wait()
    os.close(ours)
    assert f"{ids[0]} queued" in shown if count > 1 else "queued" in shown
    assert "blocked: no con" in shown
