"""The stack: real processes that start in order, are started again, end in order, and outlive nobody."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import select
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

from telecine_local.child import StartFailed
from telecine_local.places import DirectoryInUse, DirectoryUnusable, Places, open_places
from telecine_local.session import run_in
from telecine_local.stack import Setup, Stack


def database(places: Places, retry: Retry | None = None) -> redis.Redis:
    """A client of the stack's database; tries once unless it is told otherwise."""
    return redis.Redis(unix_socket_path=str(places.socket), retry=retry or Retry(NoBackoff(), 0))


def runs(places: Places) -> bool:
    """Whether the stack's database answers."""
    try:
        with database(places) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def ended(pidfd: int, *, within_seconds: float = 10) -> bool:
    """Whether the process ends in time; it need not be ours."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(within_seconds * 1000))


async def test_everything_is_started_with_its_settings(setup: Setup, places: Places, reports: Any) -> None:
    """The scheduler is told where the database is, the worker where the scheduler is, once that is known."""
    stack = Stack(setup, places)
    async with stack.running():
        scheduler, worker = await reports.next(), await reports.next()
        assert (scheduler["name"], worker["name"], stack.address) == ("scheduler", "worker", "127.0.0.1:4711")
        assert scheduler["argv"] == ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--drain", "5s"]
        assert f"unix://{places.socket}" == scheduler["environment"]["TELECINE_REDIS_URL"]
        expected = {
            "TELECINE_SCHEDULERS": "127.0.0.1:4711",
            "TELECINE_SLOTS": "3",
            "TELECINE_FILE_ROOTS": "/media/a:/media/b",
            "TELECINE_WORK_DIR": str(places.data / "worker-1"),
        }
        assert expected == {name: worker["environment"].get(name) for name in expected}


async def test_the_database_keeps_every_write_and_opens_no_port(setup: Setup, places: Places, reports: Any) -> None:
    """Append-only file fsynced always, no eviction, no TCP."""
    async with Stack(setup, places).running():
        with database(places) as client:
            asked = ("appendonly", "appendfsync", "maxmemory-policy", "port", "save")
            assert [client.config_get(name)[name] for name in asked] == ["yes", "always", "noeviction", "0", ""]


async def test_the_stack_ends_in_order(setup: Setup, places: Places, reports: Any) -> None:
    """Workers first, then the scheduler, which still has its database; that one last."""
    stack = Stack(setup, places)
    async with stack.running():
        assert [(await reports.next())["event"] for _ in range(2)] == ["start", "start"]
        pidfds = [os.pidfd_open(pid) for pid in (stack.database.pid, stack.scheduler.pid) if pid]
    first, second = await reports.next(), await reports.next()
    assert [(one["name"], one["event"]) for one in (first, second)] == [("worker", "term"), ("scheduler", "term")]
    assert second["database"] == "+PONG"
    assert [ended(pidfd, within_seconds=0) for pidfd in pidfds] == [True, True]
    for pidfd in pidfds:
        os.close(pidfd)


async def test_a_killed_database_comes_back_with_its_data(setup: Setup, places: Places, reports: Any) -> None:
    """What was acknowledged is there after SIGKILL and the start that follows."""
    stack = Stack(setup, places)
    async with stack.running():
        old = stack.database.pid
        assert old is not None
        with database(places) as client:
            client.set("kept", "yes")
        os.kill(old, signal.SIGKILL)
        patient = Retry(ConstantBackoff(0.02), 500, supported_errors=(redis.ConnectionError, redis.BusyLoadingError))
        with database(places, patient) as client:
            assert await asyncio.to_thread(client.get, "kept") == b"yes"
        assert old != stack.database.pid


async def test_a_member_that_cannot_start_ends_the_stack(setup: Setup, places: Places, reports: Any) -> None:
    """StartFailed names it, its exit code and its log; nothing is left running."""
    broken = dataclasses.replace(setup, worker=[sys.executable, "-c", "import sys; sys.exit('no such root')"])
    stack = Stack(broken, places)
    with pytest.raises(StartFailed, match=r"worker-1 ended with exit code 1; its log: .*worker-1\.log"):
        async with stack.running():
            pytest.fail("it is not ready")
    assert setup.logs is not None
    assert (setup.logs / "worker-1.log").read_text() == "no such root\n"
    assert [((one := await reports.next())["name"], one["event"]) for _ in range(2)] == [
        ("scheduler", "start"),
        ("scheduler", "term"),
    ]
    assert not runs(places)


async def test_a_session_ends_when_its_members_are_kept_no_longer(setup: Setup, places: Places, reports: Any) -> None:
    """With the reason, with what was begun cleaned up, and with nothing left running."""
    stack = Stack(setup, places)
    cleaned = False

    async def work() -> int:
        nonlocal cleaned
        # A scheduler that comes back and does not say where it serves is a mistake that trying again does not mend.
        program = "import signal; print('ready metrics=', flush=True); signal.pause()"
        stack._setup = dataclasses.replace(setup, scheduler=[sys.executable, "-c", program])
        assert stack.scheduler.pid
        os.kill(stack.scheduler.pid, signal.SIGKILL)
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            cleaned = True

    async with asyncio.timeout(10):
        with pytest.raises(ExceptionGroup) as broken:
            await run_in(stack, work, when_stopped=0)
    assert [KeyError] == [type(error) for error in broken.value.exceptions]
    assert (True, False) == (cleaned, runs(places))


async def test_sigterm_ends_a_session_with_its_code(setup: Setup, places: Places, reports: Any) -> None:
    """The work is left, everything is stopped, and the exit code is what was agreed."""
    stack = Stack(setup, places)

    async def work() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return await asyncio.get_running_loop().create_future()

    async with asyncio.timeout(10):
        assert await run_in(stack, work, when_stopped=7) == 7
    assert not runs(places)


async def test_a_second_signal_kills_what_does_not_end(setup: Setup, places: Places, reports: Any) -> None:
    """A worker that ignores SIGTERM does not hold up whoever asks twice."""
    stack = Stack(dataclasses.replace(setup, worker=[*setup.worker, "stubborn"]), places)

    async def work() -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return await asyncio.get_running_loop().create_future()

    session = asyncio.create_task(run_in(stack, work, when_stopped=0))
    while (await reports.next())["event"] != "term":
        pass
    os.kill(os.getpid(), signal.SIGINT)
    # Less than a worker's grace.
    done, _ = await asyncio.wait({session}, timeout=10)
    assert [0] == [one.result() for one in done]


async def test_no_child_outlives_a_killed_parent(setup: Setup, tmp_path: Path, reports: Any) -> None:
    """SIGKILL of the process with the stack: database, scheduler and worker are gone, and the data directory is free."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = await asyncio.create_subprocess_exec(
        *[sys.executable, str(script), str(tmp_path), setup.database],
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    async with asyncio.timeout(20):
        pids = [int(word) for word in (await parent.stdout.readline()).split()]
    assert len(pids) == 3
    pidfds = [os.pidfd_open(pid) for pid in pids]
    assert [ended(pidfd, within_seconds=0) for pidfd in pidfds] == [False] * 3
    parent.kill()
    await parent.wait()
    assert [await asyncio.to_thread(ended, pidfd) for pidfd in pidfds] == [True] * 3
    for pidfd in pidfds:
        os.close(pidfd)
    with open_places(tmp_path / "data"):
        pass


PARENT = """
import asyncio, sys
from pathlib import Path
from telecine_local.places import open_places
from telecine_local.stack import Setup, Stack

tmp, database = Path(sys.argv[1]), sys.argv[2]
base = [sys.executable, "-I", "-S", str(tmp / "program.py")]

async def main(places):
    stack = Stack(
        Setup(
            listen="127.0.0.1:0", metrics_listen="127.0.0.1:0", workers=1, slots=1, file_roots=[tmp], database=database,
            scheduler=[*base, "scheduler", str(tmp / "reports.sock")], worker=[*base, "worker", str(tmp / "reports.sock")],
            logs=tmp / "logs",
        ),
        places,
    )
    async with stack.running():
        print(stack.database.pid, stack.scheduler.pid, stack.workers[0].pid, flush=True)
        await asyncio.Event().wait()

with open_places(tmp / "data") as places:
    asyncio.run(main(places))
"""


def test_a_data_directory_belongs_to_one(tmp_path: Path) -> None:
    """A second one is told who has it; afterwards it is free."""
    mine = open_places(tmp_path / "data")
    second = open_places(tmp_path / "data", patience=timedelta())
    with mine, pytest.raises(DirectoryInUse, match=f"in use by process {os.getpid()}"), second:
        pytest.fail("both have it")
    with open_places(tmp_path / "data") as places:
        assert places.data.stat().st_mode & 0o777 == 0o700


def test_a_socket_with_a_long_path_is_elsewhere(tmp_path: Path) -> None:
    """A deep data directory works; what was made for the socket is removed."""
    deep = tmp_path / ("d" * 120)
    with open_places(deep) as places:
        assert len(bytes(places.socket)) <= 107
        assert places.socket.parent.is_dir()
    assert not places.socket.parent.exists()
    with open_places(tmp_path / "data") as near:
        assert tmp_path / "data" / "valkey.sock" == near.socket


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the way is no traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryUnusable, match="file/data cannot be used"), open_places(tmp_path / "file" / "data"):
        pytest.fail("there is no such directory")
