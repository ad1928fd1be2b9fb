"""A worker that is to blame for how its attempts end: their jobs go back uncharged, and it takes no work until it is well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from support.scripted_scheduler import ScriptedStream
from support.worker_bench import SUCCEEDED, Bench, lease
from telecine.v1 import lease_service_pb2 as pb
from telecine_worker import condition as condition_module
from telecine_worker.condition import Condition
from telecine_worker.failure import Failure, FailureKind
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.outcome import Ended, Failed, Returned
from telecine_worker.storage.threads import Threads


def failed(reason: str, kind: FailureKind = FailureKind.RETRYABLE) -> Failed:
    return Failed(usage=Usage(), failure=Failure(kind=kind, reason=reason, message="m"))


class Patient:
    """A condition with an ailment of the test's choice."""

    def __init__(self) -> None:
        self.ailment: str | None = None
        self.broken: str | None = None
        self.trials = 0
        self.told: list[bool] = []
        self.threads = Threads(2)
        self.condition = Condition(lambda: self.ailment, self._try, self.threads)
        self.condition.listen(lambda ailment: self.told.append(ailment is None))

    def _try(self) -> str | None:
        self.trials += 1
        return self.broken

    async def end(self, job: str, ended: Ended, tenant: str = "a") -> str:
        """How an attempt counts."""
        judged = await self.condition.judge((tenant, job), ended)
        return judged.failure.reason if isinstance(judged, Failed) else type(judged).__name__

    async def recovers(self) -> None:
        async with asyncio.timeout(10):
            while self.condition.ailment:
                await asyncio.sleep(0.005)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[Patient]:
    monkeypatch.setattr(condition_module, "FIRST_REST", timedelta(milliseconds=50))
    patient = Patient()
    yield patient
    patient.threads.close()


@pytest.mark.parametrize("reason", ["NO_SPACE", "IO_ERROR", "INTERNAL_ERROR", "OUT_OF_MEMORY", "LAUNCH_FAILED"])
async def test_a_failure_of_a_broken_worker_is_not_the_jobs(patient: Patient, reason: str) -> None:
    """A look finds at once what is wrong: the job goes back, and no more is taken until a later look finds it mended."""
    patient.ailment = "the disk is full"
    assert "Returned" == await patient.end("job", failed(reason))
    assert ("the disk is full", [False]) == (patient.condition.ailment, patient.told)
    patient.ailment = None
    await patient.condition.step()
    assert (None, [False, True]) == (patient.condition.ailment, patient.told)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("INPUT_INVALID", FailureKind.PERMANENT),
        ("INTERNAL_ERROR", FailureKind.PERMANENT),
        ("STALLED", FailureKind.RETRYABLE),
    ],
)
async def test_a_failure_of_the_job_stays_its_own(patient: Patient, reason: str, kind: FailureKind) -> None:
    """Whatever the worker's condition."""
    patient.ailment = "the disk is full"
    for number in range(5):
        assert reason == await patient.end(f"job{number}", failed(reason, kind))
    assert [] == patient.told


async def test_programs_are_tried_where_an_attempt_failed_suspiciously(patient: Patient) -> None:
    """What is broken stays so until a later trial finds it mended; a sound worker's are not started every few seconds."""
    await patient.condition.step()
    await patient.end("bad", failed("INPUT_INVALID", FailureKind.PERMANENT))
    assert 0 == patient.trials
    patient.broken = "ffmpeg does not start"
    assert "Returned" == await patient.end("job", failed("LAUNCH_FAILED"))
    await patient.condition.step()
    assert ("ffmpeg does not start", [False], 2) == (patient.condition.ailment, patient.told, patient.trials)
    patient.broken = None
    await patient.condition.step()
    await patient.condition.step()
    assert (None, [False, True], 3) == (patient.condition.ailment, patient.told, patient.trials)


async def test_one_job_never_takes_a_worker_out(patient: Patient) -> None:
    """Whatever it says, and however often: what looks and trials do not find is its own."""
    for _ in range(10):
        assert "LAUNCH_FAILED" == await patient.end("job", failed("LAUNCH_FAILED"))
    assert (None, []) == (patient.condition.ailment, patient.told)


async def test_one_tenant_takes_no_worker_out_that_others_use(patient: Patient) -> None:
    """Its jobs may all be of a kind: it counts where another tenant's fail, too, or where there was no other for long."""
    await patient.end("good", SUCCEEDED, "other")
    for number in range(19):
        await patient.end(f"job{number}", failed("NO_SPACE"))
    assert patient.condition.ailment is None
    await patient.end("job19", failed("NO_SPACE"))
    assert patient.condition.ailment


async def test_two_tenants_take_a_worker_out(patient: Patient) -> None:
    """The third job in a row, whoever has the others."""
    await patient.end("good", SUCCEEDED, "other")
    for number, tenant in enumerate(("a", "a", "other")):
        assert patient.condition.ailment is None
        await patient.end(f"job{number}", failed("NO_SPACE"), tenant)
    assert patient.condition.ailment


async def test_an_input_that_fits_nowhere_is_no_sign(patient: Patient) -> None:
    """As large as that it is wherever it comes to."""
    huge = Failure(kind=FailureKind.RETRYABLE, reason="NO_SPACE", message="m", of_input=True)
    for number in range(5):
        await patient.end(f"job{number}", Failed(usage=Usage(), failure=huge))
    assert (None, 0) == (patient.condition.ailment, patient.trials)


async def test_a_success_ends_the_rest(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an attempt that ran on meanwhile: at once, and the timer of the rest does nothing more."""
    monkeypatch.setattr(condition_module, "FIRST_REST", timedelta(hours=1))
    for number in range(3):
        await patient.end(f"job{number}", failed("NO_SPACE"))
    await patient.end("bad", failed("INPUT_INVALID", FailureKind.PERMANENT))
    assert patient.condition.ailment
    await patient.end("good", SUCCEEDED)
    assert (None, [False, True]) == (patient.condition.ailment, patient.told)


async def test_three_jobs_in_a_row_are_not_all_to_blame(patient: Patient) -> None:
    """The look finds nothing, so each is charged; but the worker rests, and twice as long after each further one, until an
    attempt does well.
    """
    rests = []
    for number in range(5):
        began = asyncio.get_running_loop().time()
        assert "NO_SPACE" == await patient.end(f"job{number}", failed("NO_SPACE"))
        assert (number >= 2) == (patient.condition.ailment is not None)
        await patient.recovers()
        rests.append(asyncio.get_running_loop().time() - began)
    assert [rest > least for rest, least in zip(rests[2:], (0.05, 0.1, 0.2), strict=True)] == [True] * 3
    await patient.end("good", SUCCEEDED)
    for number in range(2):
        await patient.end(f"job{number}", failed("NO_SPACE"))
    assert patient.condition.ailment is None


async def test_one_job_in_a_row_is_to_blame_itself(patient: Patient) -> None:
    """However often it fails here."""
    for _ in range(5):
        await patient.end("job", failed("INTERNAL_ERROR", FailureKind.UNKNOWN))
    assert patient.condition.ailment is None


async def test_what_is_in_between_says_nothing(patient: Patient) -> None:
    """An attempt that was stopped is no sign of health; one that failed for the job's sake is: FFmpeg ran."""
    for number in range(2):
        await patient.end(f"job{number}", failed("NO_SPACE"))
    await patient.end("stopped", Returned(usage=Usage(), reason="DRAINING"))
    await patient.end("third", failed("NO_SPACE"))
    assert patient.condition.ailment
    await patient.recovers()
    await patient.end("bad", failed("INPUT_INVALID", FailureKind.PERMANENT))
    await patient.end("fourth", failed("NO_SPACE"))
    assert patient.condition.ailment is None


async def begun(bench: Bench) -> ScriptedStream:
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    return stream


async def test_the_worker_says_so(bench: Bench) -> None:
    """Returned UNHEALTHY, credit for nothing, refusals, a metric; and credit again when it is well."""
    stream = await begun(bench)
    bench.ailment = "the disk is full"
    bench.attempts[1].end(failed("NO_SPACE"))
    outcome = await stream.outcome()
    assert 1 == await stream.credit()
    stream.grant(lease("other", 2))
    assert pb.Accept.REFUSAL_UNHEALTHY == (await stream.accept()).refusal
    assert ("UNHEALTHY", 0.0) == (outcome.returned.reason, bench.metric("telecine_worker_healthy"))
    assert 1 == bench.metric("telecine_worker_attempts_total", outcome="returned", kind="")
    bench.ailment = None
    await bench.condition.step()
    while await stream.credit() != 2 + 4:
        pass
    assert 1.0 == bench.metric("telecine_worker_healthy")
