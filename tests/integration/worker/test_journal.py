"""Outcomes outlive the worker: on disk before they are said, said until they are acknowledged, in the next life, too."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.worker_bench import Bench, MakeBench, lease
from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as pb
from telecine_worker import journal as journal_module
from telecine_worker.journal import Journal
from telecine_worker.lease_key import LeaseKey
from telecine_worker.work_dir import write_durably

Ack = pb.OutcomeAck


def outcome(job: str = "job", token: int = 1) -> pb.Outcome:
    return pb.Outcome(lease=lease(job, token), succeeded=job_pb2.JobResult())


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    journal = Journal(folder)
    yield journal
    journal.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Gate:
    """A disk that is as slow as the test wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()
        monkeypatch.setattr(journal_module, "write_durably", self._write)

    def _write(self, path: Path, content: bytes) -> None:
        self.reached.set()
        assert self._open.wait(10)
        write_durably(path, content)

    def open(self) -> None:
        self._open.set()


async def ended(bench: Bench, stream: Any) -> None:
    """One attempt from its grant to its end."""
    stream.grant(lease())
    await stream.accept()
    bench.attempts[1].end()


async def test_the_next_life_says_it_again(make_bench: MakeBench, folder: Path) -> None:
    """The worker ends before the acknowledgement: its successor says the outcome in its Hello, and forgets it then."""
    async with make_bench() as bench:
        stream = await bench.scheduler.welcomed()
        await ended(bench, stream)
        said = await stream.outcome()
    assert ["a~job~1.outcome"] == names(folder)
    async with make_bench() as bench:
        stream = await bench.scheduler.stream()
        assert [said] == list(stream.hello.unconfirmed_outcomes)
        stream.welcome(outcome_acks=[Ack(lease=lease(), ack=Ack.ACK_ALREADY)])
        await bench.until(lambda: names(folder) == [])


@pytest.mark.parametrize("ack", ["COMMITTED", "ALREADY", "STALE", "CANCELLED", "RETRYING"])
async def test_every_durable_answer_ends_it(bench: Bench, folder: Path, ack: str) -> None:
    """Gone from memory and disk."""
    stream = await bench.scheduler.welcomed()
    await ended(bench, stream)
    await stream.outcome()
    stream.acknowledge(lease(), Ack.Ack.Value(f"ACK_{ack}"))
    await bench.until(lambda: names(folder) == [])
    assert [] == bench.journal.unconfirmed


async def test_an_outcome_is_said_until_it_is_recorded(bench: Bench, folder: Path) -> None:
    """TRY_AGAIN and silence alike: again every few seconds, and in the next Hello."""
    stream = await bench.scheduler.welcomed()
    await ended(bench, stream)
    first = await stream.outcome()
    stream.acknowledge(lease(), Ack.ACK_TRY_AGAIN)
    assert first == await stream.outcome()
    assert first == await stream.outcome()
    await stream.fail(grpc.StatusCode.UNAVAILABLE)
    again = await bench.scheduler.stream()
    assert [first] == list(again.hello.unconfirmed_outcomes)
    again.welcome(outcome_acks=[Ack(lease=lease(), ack=Ack.ACK_COMMITTED)])
    await bench.until(lambda: names(folder) == [])


async def test_what_ends_between_hello_and_welcome_is_said_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in neither the Hello nor lost for five seconds: it follows the Welcome. What the Hello said is not said again."""
    monkeypatch.setattr("telecine_worker.unconfirmed.RESEND_OUTCOME_SECONDS", 3600.0)
    stream = await bench.scheduler.welcomed()
    stream.grant(lease("told", 1))
    stream.grant(lease("late", 2))
    await stream.accept()
    await stream.accept()
    bench.attempts[1].end()
    await stream.outcome()
    await stream.fail(grpc.StatusCode.UNAVAILABLE)
    again = await bench.scheduler.stream()
    bench.attempts[2].end()
    await bench.until(lambda: len(bench.journal.unconfirmed) == 2)
    again.welcome()
    assert lease("late", 2) == (await again.outcome()).lease
    assert (["told"], 1) == ([o.lease.job_id for o in again.hello.unconfirmed_outcomes], again.count("outcomes"))


async def test_an_outcome_is_said_when_it_is_on_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is written the lease is held and renewed, and neither a tick nor a Hello says the outcome."""
    gate = Gate(monkeypatch)
    stream = await bench.scheduler.welcomed()
    await ended(bench, stream)
    await asyncio.to_thread(gate.reached.wait, 10)
    await stream.fail(grpc.StatusCode.UNAVAILABLE)
    again = await bench.scheduler.stream()
    assert ([lease()], 0) == ([r.lease for r in again.hello.held_leases], len(again.hello.unconfirmed_outcomes))
    again.welcome()
    await again.credit()
    assert 0 == again.count("outcomes")
    gate.open()
    assert lease() == (await again.outcome()).lease


async def test_a_lease_lost_while_its_outcome_is_written_says_nothing(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STALE overtakes the disk: the outcome is dropped, from disk, too."""
    gate = Gate(monkeypatch)
    stream = await bench.scheduler.welcomed()
    await ended(bench, stream)
    await asyncio.to_thread(gate.reached.wait, 10)
    stream.rule(lease(), pb.RenewResult.VERDICT_STALE)
    await bench.until(lambda: bench.attempts[1].stops)
    gate.open()
    await bench.until(lambda: bench.holdings.busy == 0 and names(folder) == [])
    assert (0, []) == (stream.count("outcomes"), bench.journal.unconfirmed)


async def test_the_end_of_a_lost_lease_is_not_written(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to say: not now, and not in a next life."""
    gate = Gate(monkeypatch)
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    bench.attempts[1].lingers = True
    stream.rule(lease(), pb.RenewResult.VERDICT_STALE)
    await bench.until(lambda: bench.attempts[1].stops)
    bench.attempts[1].end()
    await bench.until(lambda: bench.holdings.busy == 0)
    assert (False, []) == (gate.reached.is_set(), names(folder))


async def test_an_acknowledgement_that_overtakes_the_disk_counts(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removed while it is written: nothing is left in memory or on disk."""
    gate = Gate(monkeypatch)
    adding = asyncio.create_task(journal.add(outcome()))
    await asyncio.to_thread(gate.reached.wait, 10)
    journal.remove(LeaseKey.of(lease()))
    gate.open()
    await adding
    journal._thread.shutdown(wait=True)
    assert ([], []) == (list(journal.unconfirmed), names(folder))


async def test_a_disk_that_refuses_costs_only_the_memory_of_it(bench: Bench, folder: Path) -> None:
    """The outcome is said all the same."""
    stream = await bench.scheduler.welcomed()
    folder.rmdir()
    await ended(bench, stream)
    assert lease() == (await stream.outcome()).lease
    stream.acknowledge(lease())
    await bench.until(lambda: not bench.journal.unconfirmed)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xff",
        pb.Outcome(lease=lease()).SerializeToString(),
        pb.Outcome(succeeded=job_pb2.JobResult()).SerializeToString(),
        outcome("other").SerializeToString(),
    ],
    ids=["empty", "no message", "no kind", "no lease", "another lease"],
)
def test_a_file_that_holds_no_outcome_is_set_aside(journal: Journal, folder: Path, content: bytes) -> None:
    """A power cut can leave an empty file, which parses: said in a Hello it would keep the worker out for ever."""
    (folder / "a~job~1.outcome").write_bytes(content)
    (folder / "a~good~1.outcome").write_bytes(outcome("good").SerializeToString())
    journal.load()
    assert [outcome("good")] == list(journal.unconfirmed)
    assert ["a~good~1.outcome", "a~job~1.damaged"] == names(folder)


def test_what_was_never_finished_is_removed(journal: Journal, folder: Path) -> None:
    """The temporary files of a worker that was killed while it wrote."""
    (folder / ".a~job~1.outcome.new").write_bytes(b"x")
    journal.load()
    assert [] == names(folder)


async def test_outcomes_are_said_in_the_order_of_their_ends(journal: Journal, folder: Path) -> None:
    """Oldest first, also after a restart."""
    for job in ("b", "c", "a"):
        await journal.add(outcome(job))
        path = folder / f"a~{job}~1.outcome"
        stamp = 10**18 + "bca".index(job)
        os.utime(path, ns=(stamp, stamp))
    successor = Journal(folder)
    successor.load()
    successor.close()
    assert ["b", "c", "a"] == [each.lease.job_id for each in successor.unconfirmed]


class Picky:
    """A scheduler that ends every stream with an outcome of a *bad* job, and takes all others. *streams* it has had."""

    def __init__(self, bench: Bench, *bad: str) -> None:
        self._bench = bench
        self._bad = bad
        self.streams = 0
        self.taken: list[pb.Outcome] = []

    async def until(self, count: int) -> None:
        """Until it has taken so many."""
        while len(self.taken) < count:
            stream = await self._bench.scheduler.stream()
            self.streams += 1
            if self._takes(stream.hello.unconfirmed_outcomes):
                acks = [Ack(lease=each.lease, ack=Ack.ACK_COMMITTED) for each in stream.hello.unconfirmed_outcomes]
                stream.welcome(outcome_acks=acks)
                while len(self.taken) < count and self._takes(said := [await stream.outcome()]):
                    stream.acknowledge(said[0].lease)
            if len(self.taken) < count:
                await stream.fail(grpc.StatusCode.INVALID_ARGUMENT, "PROTOCOL_VIOLATION")

    def _takes(self, outcomes: Sequence[pb.Outcome]) -> bool:
        if any(each.lease.job_id in self._bad and not each.HasField("failed") for each in outcomes):
            return False
        self.taken += outcomes
        return True


async def test_an_outcome_nobody_takes_becomes_a_failure_of_its_job(make_bench: MakeBench, folder: Path) -> None:
    """It is set aside, INTERNAL_ERROR is said in its place, and the worker works: four streams are refused for it."""
    write_durably(folder / "a~job~1.outcome", outcome().SerializeToString())
    async with make_bench() as bench:
        picky = Picky(bench, "job")
        async with asyncio.timeout(30):
            await picky.until(1)
        (said,) = picky.taken
        assert (lease(), job_pb2.Failure.KIND_UNKNOWN, "INTERNAL_ERROR") == (
            said.lease, said.failed.kind, said.failed.reason
        )  # fmt: skip
        assert 4 == picky.streams
        await bench.until(lambda: names(folder) == ["a~job~1.damaged"])


async def test_a_bad_outcome_takes_no_good_ones_along(make_bench: MakeBench, folder: Path) -> None:
    """Five good ones and two bad ones in one Hello: the good ones are taken as they are, each bad one is replaced."""
    for number, job in enumerate(("good1", "bad1", "good2", "good3", "bad2", "good4", "good5")):
        write_durably(folder / f"a~{job}~1.outcome", outcome(job).SerializeToString())
        os.utime(folder / f"a~{job}~1.outcome", ns=(number, number))
    async with make_bench() as bench:
        picky = Picky(bench, "bad1", "bad2")
        async with asyncio.timeout(30):
            await picky.until(7)
        taken = {each.lease.job_id: each.WhichOneof("kind") for each in picky.taken}
        good = dict.fromkeys(("good1", "good2", "good3", "good4", "good5"), "succeeded")
        assert good | {"bad1": "failed", "bad2": "failed"} == taken
        await bench.until(lambda: names(folder) == ["a~bad1~1.damaged", "a~bad2~1.damaged"])


async def test_a_hello_that_is_bad_without_outcomes_costs_none(
    make_bench: MakeBench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one without them is refused, too: then they are not to blame, and all are said when a Hello is taken."""
    monkeypatch.setattr("telecine_worker.reconnection.LONGEST_PAUSE_SECONDS", 0.1)
    for job in ("one", "two"):
        write_durably(folder / f"a~{job}~1.outcome", outcome(job).SerializeToString())
    async with make_bench() as bench:
        for count in (2, 0):
            stream = await bench.scheduler.stream()
            assert count == len(stream.hello.unconfirmed_outcomes)
            await stream.fail(grpc.StatusCode.INVALID_ARGUMENT, "PROTOCOL_VIOLATION")
        picky = Picky(bench)
        async with asyncio.timeout(30):
            await picky.until(2)
        assert {"succeeded"} == {each.WhichOneof("kind") for each in picky.taken}


async def test_who_is_accused_may_be_innocent(make_bench: MakeBench, folder: Path) -> None:
    """A stream ended over something else while it was said: the Hello with it alone is taken, and it is said as before."""
    for number, job in enumerate(("one", "two")):
        write_durably(folder / f"a~{job}~1.outcome", outcome(job).SerializeToString())
        os.utime(folder / f"a~{job}~1.outcome", ns=(number, number))
    async with make_bench() as bench:
        await (await bench.scheduler.stream()).fail(grpc.StatusCode.INVALID_ARGUMENT, "PROTOCOL_VIOLATION")
        stream = await bench.scheduler.welcomed()
        assert "one" == (await stream.outcome()).lease.job_id
        await stream.fail(grpc.StatusCode.INVALID_ARGUMENT, "PROTOCOL_VIOLATION")
        again = await bench.scheduler.stream()
        assert [outcome("one")] == list(again.hello.unconfirmed_outcomes)
        again.welcome(outcome_acks=[Ack(lease=lease("one"), ack=Ack.ACK_TRY_AGAIN)])
        assert "two" == (await again.outcome()).lease.job_id
        again.acknowledge(lease("two"))
        assert "one" == (await again.outcome()).lease.job_id


async def test_an_outcome_larger_than_a_message_fails_its_job(make_bench: MakeBench, folder: Path) -> None:
    """An older worker left it: set aside before any Hello, so that the worker is not kept out, and a failure in its place."""
    huge = outcome("huge")
    huge.succeeded.artifacts.extend([job_pb2.Artifact(path="p" * 1000)] * 5000)
    write_durably(folder / "a~huge~1.outcome", huge.SerializeToString())
    write_durably(folder / "a~job~1.outcome", outcome().SerializeToString())
    async with make_bench() as bench:
        stream = await bench.scheduler.stream()
        said = {each.lease.job_id: each for each in stream.hello.unconfirmed_outcomes}
        failure = said["huge"].failed
        assert (["huge", "job"], outcome()) == (sorted(said), said["job"])
        assert (job_pb2.Failure.KIND_PERMANENT, "OUTPUT_TOO_LARGE") == (failure.kind, failure.reason)
        assert ["a~huge~1.damaged", "a~huge~1.outcome", "a~job~1.outcome"] == names(folder)
        # Before the worker ends: it is not welcome yet.
        stream.welcome()


async def test_a_disk_that_hangs_is_waited_for_for_a_while(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the outcome is said, and the lease is over. What the disk does late is undone."""
    monkeypatch.setattr(journal_module, "WRITE_SECONDS", 0.2)
    monkeypatch.setattr(journal_module, "SETTLE_SECONDS", 0.1)
    gate = Gate(monkeypatch)
    stream = await bench.scheduler.welcomed()
    await ended(bench, stream)
    assert lease() == (await stream.outcome()).lease
    assert (0, False) == (bench.holdings.busy, await bench.journal.settle())
    stream.acknowledge(lease())
    await bench.until(lambda: not bench.journal.unconfirmed)
    gate.open()
    monkeypatch.setattr(journal_module, "SETTLE_SECONDS", 10)
    assert (True, []) == (await bench.journal.settle(), names(folder))
