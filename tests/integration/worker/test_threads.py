"""Threads for what blocks: attempts never wait for one another, and the journal for none of them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.worker_bench import lease
from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as pb
from telecine_worker.journal import Journal
from telecine_worker.storage.threads import Threads

# More than asyncio's own pool has.
MANY = min(32, (os.cpu_count() or 1) + 4) + 4


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads(MANY)
    yield threads
    threads.close()


async def test_as_many_as_it_has_run_at_once(threads: Threads) -> None:
    """So many that block until all are there: nobody waits for a thread."""
    all_there = threading.Barrier(MANY)
    await asyncio.wait_for(asyncio.gather(*(threads.run(all_there.wait, 10) for _ in range(MANY))), 10)


async def test_the_journal_waits_for_no_attempt(threads: Threads, folder: Path) -> None:
    """Every thread of the attempts hangs, and all of asyncio's own: an outcome is written all the same."""
    release = threading.Event()
    hanging = [asyncio.ensure_future(threads.run(release.wait, 10)) for _ in range(MANY)]
    hanging += [asyncio.ensure_future(asyncio.to_thread(release.wait, 10)) for _ in range(MANY)]
    journal = Journal(folder)
    await asyncio.wait_for(journal.add(pb.Outcome(lease=lease(), succeeded=job_pb2.JobResult())), 5)
    journal.close()
    assert not any(each.done() for each in hanging)
    release.set()
    await asyncio.gather(*hanging)


async def test_a_cancelled_call_is_waited_for(threads: Threads) -> None:
    """What it made is made, also where it fails; then the cancellation goes on."""
    begun, release, made = threading.Event(), threading.Event(), []

    def make() -> None:
        begun.set()
        assert release.wait(10)
        made.append("made")
        raise OSError

    running = asyncio.ensure_future(threads.run(make))
    await asyncio.to_thread(begun.wait, 10)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=0.05)
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (set(), ["made"]) == (done, made)
