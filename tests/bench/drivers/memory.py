"""What waiting costs: bytes in Redis for a queued job, memory of a scheduler and of a worker that have nothing to do."""

from __future__ import annotations

import re
from pathlib import Path

from bench.drivers import connections
from bench.drivers.costs import Meter
from bench.drivers.figures import Figures
from bench.drivers.jobs import spec_of
from bench.drivers.queued import fill, one_by_one
from bench.drivers.request import Request


async def measure(request: Request) -> Figures:
    """The worker of this round serves another queue: the jobs stay where they are."""
    figures, meter, sizes = Figures(), Meter(request), request.sizes
    for name, pid in (("scheduler", request.scheduler_pid), ("worker", request.worker_pid)):
        figures.values |= {f"{name}_{kind}_bytes": value for kind, value in memory_of(pid).items()}
    spec = spec_of(sizes.stored_spec_bytes)
    async with connections.scheduler(request) as stub:
        # What is made once, for whatever number of jobs, is not part of it.
        await one_by_one(stub, spec, 1)
        before = meter.used_memory()
        await fill(stub, spec, sizes.queued)
        figures.values["queued_job_bytes"] = (meter.used_memory() - before) / sizes.queued
    return figures


def memory_of(pid: int) -> dict[str, int]:
    """Resident memory, and its share where it is shared; in bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {kind: re.search(rf"^{kind}:\s+(\d+) kB", text, re.MULTILINE | re.IGNORECASE) for kind in ("rss", "pss")}
    return {kind: int(match[1]) * 1024 for kind, match in found.items() if match}
