"""What a Hello says is held: what runs, and what has ended and could not be said in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.worker_bench import MakeBench, lease
from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as pb
from telecine_worker import holdings, unconfirmed
from telecine_worker.work_dir import write_durably


def leave(folder: Path, *jobs: str) -> None:
    """Outcomes of an earlier life, the oldest first."""
    for number, job in enumerate(jobs):
        path = folder / f"a~{job}~1.outcome"
        write_durably(path, pb.Outcome(lease=lease(job), succeeded=job_pb2.JobResult()).SerializeToString())
        os.utime(path, ns=(number, number))


@pytest.mark.parametrize(("room", "expected"), [(4096, ["two", "three"]), (1, ["two"])])
async def test_an_outcome_that_a_hello_has_no_room_for_keeps_its_lease(
    make_bench: MakeBench, folder: Path, monkeypatch: pytest.MonkeyPatch, room: int, expected: list[str]
) -> None:
    """Or its job would be another's before it is said; whatever the verdict on it, it is said. A Hello has a limit, too."""
    monkeypatch.setattr(unconfirmed, "MOST_IN_HELLO", 1)
    monkeypatch.setattr(holdings, "MOST_HELD", room)
    leave(folder, "one", "two", "three")
    async with make_bench() as bench:
        stream = await bench.scheduler.stream()
        assert ["one"] == [each.lease.job_id for each in stream.hello.unconfirmed_outcomes]
        assert expected == [each.lease.job_id for each in stream.hello.held_leases]
        stale = pb.RenewResult(lease=lease("two"), verdict=pb.RenewResult.VERDICT_STALE)
        stream.welcome(renew_results=[stale])
        assert {"two", "three"} == {(await stream.outcome()).lease.job_id for _ in range(2)}
