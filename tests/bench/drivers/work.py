"""How many jobs a second go through one worker whose executor does nothing: a full queue, and callers that wait for results."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from bench.drivers import connections
from bench.drivers.control import WorkerProcess
from bench.drivers.costs import Meter, per_job
from bench.drivers.figures import Figures
from bench.drivers.jobs import spec_of, submission
from bench.drivers.load import callers, rate
from bench.drivers.queued import fill
from bench.drivers.request import Request
from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_client import AsyncClient, JobState

SLOTS = 256
DRAIN_SECONDS = 60.0
# Of a job in a cycle; more than this is no figure.
LONGEST = timedelta(seconds=20)


async def measure(request: Request) -> Figures:
    """contract_ is through a worker that is only the contract, the rest through the worker of this revision.

    cycle: each caller submits a job and waits for its result, by the SDK; contract_calls_cycle: by SubmitJob and WatchJob.
    """
    figures = Figures()
    async with connections.scheduler(request) as stub, AsyncClient(request.address) as client:
        work = Work(request, stub, client, figures)
        parts = [
            lambda: work.through("contract_", connections.contract_worker(request, slots=SLOTS), work.both_cycles),
            lambda: work.through("", connections.idle_worker(request, slots=SLOTS), work.sdk_cycle),
        ]
        for part in reversed(parts) if request.backwards else parts:
            await part()
    return figures


class Work:
    """One scheduler, and what goes through it."""

    def __init__(self, request: Request, stub: Any, client: AsyncClient, figures: Figures) -> None:
        self._request = request
        self._sizes = request.sizes
        self._stub = stub
        self._client = client
        self._figures = figures
        self._meter = Meter(request)
        self._spec = spec_of(request.sizes.spec_bytes)

    async def through(self, prefix: str, worker: WorkerProcess, cycles: Callable[[str, WorkerProcess], Any]) -> None:
        """Drain a full queue through *worker*, which starts now, then go round in circles with it."""
        await fill(self._stub, self._spec, self._sizes.drained)
        await self._figures.add(f"{prefix}drain_per_s", self._through(prefix, worker, cycles))

    async def _through(
        self, prefix: str, worker: WorkerProcess, cycles: Callable[[str, WorkerProcess], Any]
    ) -> dict[str, float]:
        before = self._meter.read()
        async with worker:
            found = await worker.until("jobs", self._sizes.drained, DRAIN_SECONDS)
            drained = drain_figures(f"{prefix}drain", found)
            self._meter.worker_pid = 0
            costs = per_job(f"{prefix}drain", before, self._meter.read(), self._sizes.drained)
            self._meter.worker_pid = worker.pid
            await cycles(prefix, worker)
            self._meter.worker_pid = 0
        return costs | drained

    async def both_cycles(self, prefix: str, worker: WorkerProcess) -> None:
        await self.sdk_cycle(prefix, worker)
        load = callers(self._sizes.in_flight, self._contract_cycle)
        name = f"{prefix}calls_cycle"
        began = await worker.report()
        await self._figures.add(f"{name}_per_s", rate(name, load, self._meter, self._sizes.seconds))
        ended = await worker.report()
        messages, jobs = (ended[what] - began[what] for what in ("messages", "jobs"))
        self._figures.values[f"{name}_cost.lease_messages"] = messages / max(1, jobs)

    async def sdk_cycle(self, prefix: str, _: WorkerProcess) -> None:
        load = callers(self._sizes.in_flight, self._sdk_cycle)
        name = f"{prefix}cycle"
        await self._figures.add(f"{name}_per_s", rate(name, load, self._meter, self._sizes.seconds))

    async def _contract_cycle(self) -> int:
        request = submission(self._spec)
        await self._stub.SubmitJob(request)
        # The submit, its answer, the request to watch; and what comes of that.
        messages = 3
        watch = pb.WatchJobRequest(job_id=request.job_id)
        async for response in self._stub.WatchJob(watch, timeout=LONGEST.total_seconds()):
            last, messages = response.job.state, messages + 1
        assert last == job_pb2.JOB_STATE_SUCCEEDED, last
        return messages

    async def _sdk_cycle(self) -> int:
        job = await self._client.submit(self._spec)
        job = await self._client.wait(job.job_id, LONGEST)
        assert job.state is JobState.SUCCEEDED, job
        return 0


def drain_figures(name: str, report: dict[str, float]) -> dict[str, float]:
    """From the first end to the last, as the peers are measured; the worker's CPU within that."""
    jobs = max(1, report["counted"])
    figures = {
        f"{name}_per_s": jobs / max(report["seconds"], 1e-9),
        f"{name}_cost.worker_us": report["cpu_seconds"] * 1e6 / jobs,
    }
    if "messages" in report:
        figures[f"{name}_cost.lease_messages"] = report["messages"] / report["jobs"]
    return figures
