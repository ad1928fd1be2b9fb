"""The commands about many jobs, queues and workers as real processes against a real scheduler."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.integration.client.test_command_line import Ended, environment, run, start

from support.invariants import Keyspace
from support.redis_server import RedisServer
from support.running_scheduler import Running, ScriptedWorker, running_scheduler
from telecine.v1 import job_pb2
from telecine_client import AsyncClient, probe
from telecine_client.cli.connection import Connection
from telecine_client.cli.following import events_of
from telecine_client.cli.talk import Talk
from telecine_client.watched_jobs import MOST_JOBS

SECONDS = 30
PROBE = probe("file:///media/in.mp4")
FAILURE = job_pb2.Failure(
    kind=job_pb2.Failure.KIND_PERMANENT, reason="INPUT_INVALID", message="the input in is no media file"
)


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="tc") as folder:
        server = RedisServer(Path(folder), appendonly="no", appendfsync="no")
        server.start()
        yield server
        server.stop()


class Shell:
    """Somebody at a prompt."""

    def __init__(self, scheduler: Running) -> None:
        self.scheduler = scheduler
        self.options = ("--address", scheduler.address, "--tenant", "films")

    async def run(self, *args: str, text: str = "") -> Ended:
        """One command, from start to end."""
        return await run(*self.options, *args, text=text)

    async def submit(self, *jobs: tuple[str, dict[str, Any]], options: Sequence[str] = ()) -> Ended:
        """Jobs with these ids, each with some fields of its spec."""
        return await self.run("submit", *options, "-", text=lines(*jobs))


def lines(*jobs: tuple[str, dict[str, Any]]) -> str:
    """JSON lines."""
    task = {"transcode": {"input": "in", "path": "out.mp4", "video": {"codec": "h264"}}}
    spec = {"inputs": {"in": {"uri": "file:///media/in.mp4"}}, "output": {"uri": "file:///media/out"}, "task": task}
    return "\n".join(json.dumps({"job_id": job_id, "spec": spec | fields}) for job_id, fields in jobs)


@pytest.fixture
async def shell(redis_server: RedisServer) -> AsyncIterator[Shell]:
    """On an empty store. Ends with the invariants checked."""
    with redis.Redis(unix_socket_path=str(redis_server.socket)) as client:
        client.flushall()
        async with running_scheduler(redis_server.url) as scheduler:
            yield Shell(scheduler)
        assert [] == Keyspace(client).violations()


def states(ended: Ended) -> list[tuple[str, str]]:
    """Id and state of each job in a table."""
    return [(row.split()[0], row.split()[1]) for row in ended.out[1:]]


async def test_list_shows_the_newest_first_and_narrows(shell: Shell) -> None:
    """By state and by labels, all of which must match; wide rows say more."""
    await shell.submit(("a", {"labels": {"k": "1", "l": "x"}}), ("b", {"labels": {"k": "1"}, "queue": "night"}))
    await shell.submit(("c", {"not_before_time": "2100-01-01T00:00:00Z"}))
    await shell.run("cancel", "b", "--reason", "not now")

    everything = await shell.run("list")
    assert (0, "") == (everything.code, everything.err)
    assert [("c", "waiting"), ("b", "cancelled"), ("a", "queued")] == states(everything)
    assert ["not before until 2100-01-01 00:00:00Z", "not now"] == [
        row.split("0  ")[-1].strip() for row in everything.out[1:3]
    ]
    assert "blocked: " in everything.out[3]

    narrowed = await shell.run(
        "list", "--label", "k=1", "--label", "l=x", "--state", "queued", "--state", "WAITING", "--wide"
    )
    assert [("a", "queued")] == states(narrowed)
    assert ["transcode", "default", "k=1,", "l=x"] == narrowed.out[1].split()[4:8]

    unknown = await shell.run("list", "--label", "nobody=has")
    assert (0, ["JOB  STATE  AGE  ATTEMPTS  NOTE"]) == (unknown.code, unknown.out)


async def test_list_says_that_there_are_more(shell: Shell) -> None:
    """On standard error, so that what a script reads stays jobs alone; nothing is said when there are not."""
    await shell.submit(("a", {}), ("b", {}), ("c", {}))
    two = await shell.run("list", "--limit", "2", "--json")
    three = await shell.run("list", "--limit", "3")
    assert ["c", "b"] == [json.loads(line)["jobId"] for line in two.out]
    assert "only the newest 2" in two.err
    assert (["c", "b", "a"], "") == ([job_id for job_id, _ in states(three)], three.err)


async def test_all_jobs_of_a_long_listing(shell: Shell) -> None:
    """JSON lines go in by the hundred, and every one comes out once, in one table with one head."""
    submitted = await shell.submit(*((f"j{number}", {}) for number in range(1050)))
    assert (0, [f"j{number}" for number in range(1050)]) == (submitted.code, submitted.out), submitted.err
    listed = await shell.run("list", "--all")
    assert (0, 1050, 1) == (listed.code, len(states(listed)), sum(line.startswith("JOB") for line in listed.out))
    assert {f"j{number}" for number in range(1050)} == {job_id for job_id, _ in states(listed)}


async def test_get_shows_several(shell: Shell) -> None:
    """What is not there is said, and the others are shown; the exit code tells."""
    await shell.submit(("a", {"labels": {"k": "v"}}), ("b", {}))
    plain = await shell.run("get", "a", "none", "b", "a")
    as_json = await shell.run("get", "--json", "a", "b")
    assert (5, ["job           a", "job           b"]) == (
        plain.code,
        [line for line in plain.out if line.startswith("job ")],
    )
    assert {"labels        k=v", "input         in  file:///media/in.mp4", "queue         default"} <= set(plain.out)
    assert (1, True) == (len(plain.err.splitlines()), "none" in plain.err)
    assert [("a", {"k": "v"}), ("b", None)] == [
        (job["jobId"], job.get("labels")) for job in map(json.loads, as_json.out)
    ]


async def test_cancel_retry_and_delete_take_several(shell: Shell) -> None:
    """Each job is reported, and the first that did not go well decides over the exit code."""
    await shell.submit(("a", {}), ("b", {}))
    early = await shell.run("delete", "a")
    cancelled = await shell.run("cancel", "a", "b", "none")
    retried = await shell.run("retry", "a", "--generation", "1")
    repeated = await shell.run("retry", "a", "--generation", "1", "--json")
    mismatch = await shell.run("retry", "a", "--generation", "7")
    deleted = await shell.run("delete", "a", "b")
    again = await shell.run("delete", "b", "--json")
    gone = await shell.run("get", "b")

    assert (2, 1) == (early.code, len(early.err.splitlines()))
    assert (5, ["a cancelled", "b cancelled"]) == (cancelled.code, cancelled.out)
    assert (0, "a queued") == (retried.code, retried.out[0][:8])
    assert (0, 2) == (repeated.code, json.loads(repeated.out[0])["generation"])
    assert (2, []) == (mismatch.code, mismatch.out)
    assert (2, ["b deleted"]) == (deleted.code, deleted.out)
    assert (0, "b", True) == (again.code, *(json.loads(again.out[0])[key] for key in ("jobId", "deleted")))
    assert 5 == gone.code


async def test_a_batch_is_taken_or_refused_as_a_whole(shell: Shell) -> None:
    """Every violation of every job is a line; nothing is stored."""
    good, bad = ("a", {}), ("b", {"priority": 101})
    refused = await shell.submit(good, bad, ("c", {"units": -1}), options=["--batch"])
    assert (2, []) == (refused.code, refused.out)
    assert ["requests[1].spec.priority", "requests[2].spec.units"] == [
        line.strip().partition(":")[0] for line in refused.err.splitlines()[1:]
    ]
    assert [] == states(await shell.run("list"))

    taken = await shell.submit(good, ("b", {}), options=["--batch", "--label", "k=v"])
    assert (0, ["a", "b"]) == (taken.code, taken.out)
    assert [("b", "queued"), ("a", "queued")] == states(await shell.run("list", "--label", "k=v"))


async def test_many_jobs_stand_each_for_itself(shell: Shell) -> None:
    """Those that are right are taken; the others are said by their place in the file."""
    some = await shell.submit(("a", {}), ("b", {"priority": 101}), ("c", {}))
    assert (2, ["a", "c"]) == (some.code, some.out)
    assert "standard input, job 2" in some.err
    assert [("c", "queued"), ("a", "queued")] == states(await shell.run("list"))


async def test_validate_only_changes_nothing(shell: Shell) -> None:
    """It says whether a worker could run it, one by one or as a batch, and lists what is wrong."""
    async with ScriptedWorker(shell.scheduler.address, capabilities=["task/transcode", "encoder/libx264"]) as worker:
        await worker.welcome()
        await until(lambda: shell.run("workers", "--json"), lambda ended: len(ended.out) == 1)
        one = await shell.submit(("a", {}), ("b", {"requirements": ["gpu/nvidia"]}), options=["--validate-only"])
    batch = await shell.submit(("a", {}), ("b", {}), options=["--validate-only", "--batch"])
    wrong = await shell.submit(("a", {}), ("b", {"priority": 101}), options=["--validate-only"])
    assert (0, "a is valid", True) == (one.code, one.out[0], one.out[1].startswith("b is valid, but blocked: "))
    assert (0, ["a is valid", "b is valid"]) == (batch.code, [line.partition(",")[0] for line in batch.out])
    assert (2, 1) == (wrong.code, len(wrong.out))
    assert "spec.priority" in wrong.err
    assert [] == states(await shell.run("list"))


async def until(ask: Any, answer: Any) -> Any:
    """Ask again until the answer is right."""
    async with asyncio.timeout(SECONDS):
        while not answer(last := await ask()):
            pass
        return last


async def finish(worker: ScriptedWorker, **outcome: Any) -> None:
    """Take the next job and end it so."""
    grant = await worker.grant()
    await worker.accept(grant.lease)
    assert "COMMITTED" == await worker.finish(grant.lease, **outcome)


OFFER = {"capabilities": ["task/transcode", "encoder/libx264"]}


async def test_watch_and_wait_for_several(shell: Shell) -> None:
    """Every job is followed to its end; the first that did not succeed decides, in the order they were named."""
    await shell.submit(("bad", {}), ("never", {"not_before_time": "2100-01-01T00:00:00Z"}))
    child = await start(*shell.options, "watch", "never", "bad", "none")
    assert child.stdout is not None
    seen = [(await asyncio.wait_for(child.stdout.readline(), SECONDS)).decode() for _ in range(2)]
    assert {"never", "bad"} == {line.split()[0] for line in seen}

    async with ScriptedWorker(shell.scheduler.address, **OFFER) as worker:
        await worker.welcome()
        await finish(worker, failed=FAILURE)
    await shell.run("cancel", "never", "--reason", "too late")
    async with asyncio.timeout(SECONDS):
        out, err = (part.decode() for part in await child.communicate())

    assert (3, True, True) == (child.returncode, "bad failed" in out, "never cancelled\n  reason: too late" in out)
    assert "permanent INPUT_INVALID: the input in is no media file" in err
    assert "none" in err
    waited = await shell.run("wait", "bad", "never")
    assert (1, ["bad failed", "never cancelled", "  reason: too late"]) == (waited.code, waited.out)
    as_json = await shell.run("wait", "never", "bad", "none", "--json")
    assert (3, ["JOB_STATE_CANCELLED", "JOB_STATE_FAILED"]) == (
        as_json.code, [json.loads(line)["state"] for line in as_json.out],
    )  # fmt: skip


async def test_a_wait_that_takes_too_long_exits_6(shell: Shell) -> None:
    """What ended meanwhile is told all the same."""
    await shell.submit(("slow", {}), ("over", {}))
    await shell.run("cancel", "over")
    ended = await shell.run("wait", "over", "slow", "--timeout", "300ms")
    first = await shell.run("wait", "slow", "--timeout", "100ms")
    no_time = await shell.run("wait", "over", "slow", "none", "--timeout", "0s")
    assert (3, ["over cancelled"]) == (ended.code, ended.out)
    assert (6, [], 1) == (first.code, first.out, len(first.err.splitlines()))
    assert "slow did not end in time; it goes on" in first.err
    # What nobody had the time to hear of is looked at: a job that had ended is never said to go on.
    assert (3, ["over cancelled"]) == (no_time.code, no_time.out)
    assert ["telecine: the job slow did not end in time; it goes on"] == no_time.err.splitlines()[:1]
    assert (2, True) == (len(no_time.err.splitlines()), "none" in no_time.err.splitlines()[1])


async def test_more_jobs_than_one_watch_takes_are_followed(shell: Shell) -> None:
    """The later ones after the earlier ones: of the ends of 10,001 jobs every one is told."""
    async with AsyncClient(shell.scheduler.address) as client:
        ids = [f"j{number}" for number in range(MOST_JOBS + 1)]
        await client.submit_many([(ids[0], PROBE), (ids[-1], PROBE)])
        await asyncio.gather(client.cancel(ids[0]), client.cancel(ids[-1]))
        here = Talk(client=client, connection=Connection(), job_ids=ids)
        seen = {event.job_id: event async for event in events_of(here)}
    assert set(ids) == seen.keys()
    assert {ids[0], ids[-1]} == {job_id for job_id, event in seen.items() if event.job is not None}


async def test_watching_by_label_goes_on_until_ctrl_c(shell: Shell) -> None:
    """Jobs that come later are shown, others are not; exit 130."""
    child = await start(*shell.options, "watch", "--label", "k=v", "--json")
    assert child.stdout is not None
    async with asyncio.timeout(SECONDS):
        shown: list[str] = []
        reading = asyncio.ensure_future(child.stdout.readline())
        for number in range(1000):
            # Until it listens nobody tells it anything.
            await shell.submit((f"other{number}", {}), (f"mine{number}", {"labels": {"k": "v"}}))
            await asyncio.wait([reading], timeout=0.05)
            if reading.done():
                shown.append(json.loads(reading.result())["jobId"])
                break
        child.send_signal(signal.SIGINT)
        _, err = await child.communicate()
    assert (130, True, b"telecine: interrupted\n") == (child.returncode, shown[0].startswith("mine"), err)


async def test_stats_and_workers(shell: Shell) -> None:
    """For people and as the contract's messages."""
    await shell.submit(("a", {}), ("b", {"queue": "night"}))
    async with ScriptedWorker(
        shell.scheduler.address, worker_id="w1", queues=["default", "fast"], slots=3, **OFFER
    ) as worker:
        await worker.welcome()
        workers = await until(lambda: shell.run("workers", "--json"), lambda ended: len(ended.out) == 1)
        table = await shell.run("workers", "--wide")
        stats = await until(
            lambda: shell.run("stats", "--json"), lambda ended: json.loads(ended.out[0])["workerCount"] == 1
        )
        night = await shell.run("stats", "--queue", "night")

    described = json.loads(workers.out[0])
    assert ("w1", 3, ["default", "fast"], False) == tuple(
        described[key] for key in ("workerId", "slotCount", "queues", "draining")
    )
    assert ["w1", "connected", "3", "0", "default,fast"] == table.out[1].split()[:5]
    assert "encoder/libx264,task/transcode" == table.out[1].split()[-1]
    counted = json.loads(stats.out[0])
    assert ("2", 3, "1") == (counted["jobsByState"]["queued"], counted["slotCount"], counted["blockedJobCount"])
    assert (0, "queued          1", "workers         0") == (night.code, night.out[1], night.out[-2])


@pytest.mark.parametrize(
    "args",
    [
        ["list", "--label", "a b=v"],
        ["stats", "--queue", "Bad Queue"],
        ["get", "not/an/id"],
        ["thumbnails", "a.mp4", "t/%d.jpg", "--count", "0"],
        ["transcode", "a.mp4", "b.mp4", "--require", "Not A Name"],
    ],
)
async def test_what_the_scheduler_refuses_exits_2(shell: Shell, args: list[str]) -> None:
    """Something is said, without a traceback."""
    ended = await shell.run(*args)
    assert (2, []) == (ended.code, ended.out), ended.err
    assert "Traceback" not in ended.err
    assert "" != ended.err


@pytest.mark.parametrize("command", ["get", "watch", "wait", "cancel", "retry", "delete"])
async def test_several_jobs_and_no_scheduler(command: str) -> None:
    """Exit 4 within the timeout, with one line for all of them."""
    ended = await run("--address", "127.0.0.1:1", "--request-timeout", "300ms", command, "a", "b")
    assert (4, [], 1) == (ended.code, ended.out, len(ended.err.splitlines()))


async def test_ctrl_c_names_all_jobs_that_go_on(shell: Shell) -> None:
    """Exit 130, with the commands that watch and cancel them."""
    await shell.submit(("a", {}), ("b", {}))
    child = await start(*shell.options, "watch", "a", "b")
    assert child.stdout is not None
    async with asyncio.timeout(SECONDS):
        for _ in range(2):
            await child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, err = await child.communicate()
    command = f"telecine {' '.join(shell.options)}"
    hints = f"{command} watch a b   or cancel them: {command} cancel a b"
    assert (130, f"telecine: interrupted; 2 jobs go on. Watch them: {hints}\n") == (child.returncode, err.decode())


async def test_a_terminal_gets_a_bar_for_each_job(shell: Shell) -> None:
    """With its name, and the files and reasons above the bars."""
    await shell.submit(("a", {}), ("b", {}))
    await shell.run("cancel", "a", "b", "--reason", "enough")
    ours, theirs = os.openpty()
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "telecine_client.cli", *shell.options, "watch", "a", "b"],
        stdout=theirs, stderr=theirs, env=environment() | {"TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    async with asyncio.timeout(SECONDS):
        shown = await asyncio.to_thread(everything, ours)
        assert 3 == await child.wait()
    os.close(ours)
    assert all(text in shown for text in ("a cancelled", "b cancelled", "reason: enough")), shown


def everything(terminal: int) -> str:
    """What is written to the terminal until nobody has it open any more."""
    seen = b""
    with contextlib.suppress(OSError):
        while piece := os.read(terminal, 4096):
            seen += piece
    return seen.decode()
