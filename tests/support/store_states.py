"""A job in each state, and everything that anybody may do to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from support.store_bench import OFFER, WORKER, Bench, a_job
from telecine_scheduler.domain.job import FailureKind, JobName
from telecine_scheduler.domain.lease import Lease
from telecine_scheduler.domain.submission import Limits
from telecine_scheduler.domain.worker import WorkerReport
from telecine_scheduler.store.keys import prefix

NO_LEASE = Lease(name=JobName(tenant="default", job_id="job"), token=1)


async def _waiting(bench: Bench) -> Lease:
    lease = await bench.start()
    await bench.fail(lease, FailureKind.RETRYABLE)
    # Whatever its token was good for, it is not any more.
    return NO_LEASE


async def _queued(bench: Bench) -> Lease:
    await bench.submit()
    return NO_LEASE


async def _leased(bench: Bench) -> Lease:
    await bench.submit()
    return await bench.lease()


async def _publishing(bench: Bench) -> Lease:
    lease = await bench.start()
    await bench.store.publish(lease)
    return lease


async def _cancelling(bench: Bench) -> Lease:
    lease = await bench.start()
    await bench.store.cancel(lease.name, reason="")
    return lease


async def _succeeded(bench: Bench) -> Lease:
    lease = await bench.start()
    await bench.succeed(lease)
    return lease


async def _failed(bench: Bench) -> Lease:
    lease = await bench.start()
    await bench.fail(lease, FailureKind.PERMANENT)
    return lease


async def _cancelled(bench: Bench) -> Lease:
    await bench.submit()
    await bench.store.cancel(NO_LEASE.name, reason="")
    return NO_LEASE


# A job in each state, and the lease its worker has or had. P: running and publishing.
STATES: dict[str, Callable[[Bench], Awaitable[Lease]]] = {
    "W": _waiting,
    "Q": _queued,
    "L": _leased,
    "R": Bench.start,
    "P": _publishing,
    "C": _cancelling,
    "S": _succeeded,
    "F": _failed,
    "X": _cancelled,
}


async def _expire(bench: Bench, _: Lease) -> object:
    bench.advance(timedelta(minutes=11))
    return await bench.store.sweep()


async def _pass_by(bench: Bench, by: timedelta) -> object:
    """Time goes by."""
    bench.advance(by)
    return await bench.store.sweep()


async def _renew_late(bench: Bench, lease: Lease) -> object:
    bench.advance(timedelta(seconds=27))
    return await bench.store.renew(lease, sequence=1, progress=b"")


async def _stale(bench: Bench, lease: Lease) -> object:
    """Everything a worker may say, with a token that is not the lease's."""
    wrong = replace(lease, token=lease.token + 1)
    answers = [
        await bench.store.accept(wrong), await bench.store.accept(wrong, refusal="NO_SLOT"),
        await bench.store.renew(wrong, sequence=99, progress=b"wrong"), await bench.store.publish(wrong),
        await bench.succeed(wrong), await bench.fail(wrong, FailureKind.CRASH), await bench.give_back(wrong),
    ]  # fmt: skip
    assert {"STALE"} == {getattr(answer, "verdict", getattr(answer, "ack", None)) for answer in answers}
    return answers


async def _adopt(bench: Bench, lease: Lease) -> object:
    """Its worker has a later lease of the job, which Redis lost; of one that was not lost, the same one again."""
    found = bench.client.hget(f"{prefix()}meta", "lost_from")
    return await bench.store.adopt(bench.lose(after=int(found) if found else None), WORKER)


async def _report(bench: Bench, _: Lease) -> object:
    await bench.store.report_workers([WorkerReport(stream=WORKER, offer=OFFER, draining=False)])
    return await bench.store.workers("", 10)


async def _submit_all(bench: Bench, _: Lease) -> object:
    return await bench.store.submit_all([a_job(limits=bench.limits)])


async def _check(bench: Bench, _: Lease) -> object:
    return await bench.store.check([a_job(limits=bench.limits)])


ACTIONS: dict[str, Callable[[Bench, Lease], Awaitable[object]]] = {
    "accept": lambda bench, lease: bench.store.accept(lease),
    "refuse": lambda bench, lease: bench.store.accept(lease, refusal="NO_SLOT"),
    "renew": lambda bench, lease: bench.store.renew(lease, sequence=1, progress=b"progress"),
    "publish": lambda bench, lease: bench.store.publish(lease),
    "succeed": lambda bench, lease: bench.succeed(lease),
    "permanent": lambda bench, lease: bench.fail(lease, FailureKind.PERMANENT),
    "retryable": lambda bench, lease: bench.fail(lease, FailureKind.RETRYABLE),
    "crash": lambda bench, lease: bench.fail(lease, FailureKind.CRASH),
    "give_back": lambda bench, lease: bench.give_back(lease),
    "cancel": lambda bench, lease: bench.store.cancel(lease.name, reason="no more"),
    "retry": lambda bench, _: bench.retry(expected=1),
    "delete": lambda bench, _: bench.delete(),
    "expire": _expire,
    "queue_over": lambda bench, _: _pass_by(bench, timedelta(seconds=4, milliseconds=100)),
    "total_over": lambda bench, _: _pass_by(bench, timedelta(seconds=4, milliseconds=100)),
    "total_overrun": lambda bench, _: _pass_by(bench, timedelta(seconds=29, milliseconds=500)),
    "run_overrun": _renew_late,
    "reclaim": lambda bench, _: bench.store.reclaim(WORKER, []),
    "stale": _stale,
    "adopt": _adopt,
    "submit": lambda bench, _: bench.submit(),
    "submit_all": _submit_all,
    "check": _check,
    "dispatch": lambda bench, _: bench.dispatch(),
    "register": lambda bench, _: bench.store.register(WORKER),
    "disconnect": lambda bench, _: bench.store.disconnect(WORKER, shorten=True),
    "report": _report,
    "sweep": lambda bench, _: bench.store.sweep(),
    "audit": lambda bench, _: bench.audit(),
}

# The limits that jobs have for these actions. All are over before a lease (30 s) runs out, with the grace (10 s) and what is
# left for a worker's answer (15 s).
LIMITS = {
    "queue_over": Limits(queue=timedelta(seconds=4)),
    "total_over": Limits(total=timedelta(seconds=4)),
    "total_overrun": Limits(total=timedelta(seconds=4)),
    "run_overrun": Limits(hard_run=timedelta(seconds=1)),
}
