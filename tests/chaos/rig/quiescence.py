"""The end of every scenario: all is quiet, nothing is left, and what became of the jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from chaos.rig.checker import FinalJob
from chaos.rig.fleet import Fleet
from chaos.rig.specs import written_by
from support.invariants import Keyspace, P
from support.processes import ffmpeg_children
from telecine_client import AttemptOutcome, Job, JobState

QUIET_SECONDS = 60.0
GONE_SECONDS = 10.0
OPEN = tuple(state for state in JobState if not state.final and state is not JobState.UNKNOWN)


async def quiesce(
    fleet: Fleet, *, within: float = QUIET_SECONDS, gone: float = GONE_SECONDS
) -> tuple[dict[str, FinalJob], list[str]]:
    """Wait until every job of the tenant has ended and, for *gone* seconds each, until nothing is left.

    What became of each job, and what is wrong.
    """
    await fleet.settle()
    wrong = []
    async with fleet.client() as client:
        deadline = time.monotonic() + within
        while unfinished := [job.job_id async for job in client.list(states=OPEN, limit=20)]:
            if time.monotonic() > deadline:
                wrong.append(f"not ended within {within:.0f} s: {', '.join(unfinished)}")
                break
            await asyncio.sleep(0.2)
        ids = [job.job_id async for job in client.list()]
        jobs = {job_id: final_of(await client.get(job_id)) for job_id in ids}
    wrong += [f"left: {what}" for what in await _left(lambda: leases(fleet), gone)]
    wrong += [f"left: process {what}" for what in await _left(lambda: processes(fleet), gone)]
    wrong += [f"left: outcome {what}" for what in await _left(lambda: unconfirmed(fleet), gone)]
    wrong += await _left(lambda: violations(fleet), gone)
    await fleet.read_commits()
    return jobs, wrong


async def _left(look: Callable[[], list[str]], seconds: float) -> list[str]:
    """What *look* still finds after so long."""
    deadline = time.monotonic() + seconds
    while (found := look()) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    return found


def leases(fleet: Fleet) -> list[str]:
    """Entries of leases, and of the sets of workers."""
    with fleet.redis() as client:
        held = client.zrange(P + b"lease", 0, -1)
        return [f"lease of {name!r}" for name in held] + [
            f"lease set of worker {worker!r}" for worker in Keyspace(client).keys("wl")
        ]


def processes(fleet: Fleet) -> list[str]:
    """FFmpeg of this tenant's attempts."""
    return [f"{pid} of {attempt}" for pid, attempt in ffmpeg_children(f"={fleet.tenant}~").items()]


def unconfirmed(fleet: Fleet) -> list[str]:
    """Outcomes in the journals of workers that run."""
    alive = [name for name, child in fleet.workers.items() if child.process and child.process.poll() is None]
    return [
        str(file) for name in alive for file in (fleet.system.folder / f"{name}.state" / "journal").glob("*.outcome")
    ]


def violations(fleet: Fleet) -> list[str]:
    """Of the invariants."""
    with fleet.redis() as client:
        return Keyspace(client).violations()


def final_of(job: Job) -> FinalJob:
    """As the checker wants it."""
    artifact = artifact_of(job)
    return FinalJob(
        state=job.state.value,
        tokens=tuple(attempt.token for attempt in job.attempts),
        committed=tuple(attempt.token for attempt in job.attempts if attempt.outcome is AttemptOutcome.SUCCEEDED),
        written_by=written_by(artifact) if artifact else None,
    )


def artifact_of(job: Job) -> Path | None:
    """Where its one artifact is."""
    if job.result is None or not job.result.artifacts:
        return None
    return Path(unquote(urlsplit(job.result.artifacts[0].uri).path))
