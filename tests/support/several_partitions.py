"""Three partitions: a tenant of each, and what has to be true of all of their keys."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import redis

from support.invariants import Keyspace
from support.running_scheduler import Running, a_spec
from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as lease_pb
from telecine.v1 import scheduler_service_pb2 as pb

COUNT = 3
# One of each, by number.
TENANTS = ("a", "default", "b")
assert [0, 1, 2] == [zlib.crc32(tenant.encode()) % COUNT for tenant in TENANTS]


async def submit(running: Running, tenant: str, job_id: str = "job", **spec: Any) -> job_pb2.Job:
    """The job as it was admitted."""
    request = pb.SubmitJobRequest(tenant=tenant, job_id=job_id, spec=a_spec(**spec))
    return (await running.jobs.SubmitJob(request)).job


async def state(running: Running, tenant: str, job_id: str = "job") -> str:
    """The job's, in a word."""
    job = (await running.jobs.GetJob(pb.GetJobRequest(tenant=tenant, job_id=job_id))).job
    return job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_")


async def reaches(running: Running, tenant: str, wanted: str, job_id: str = "job") -> None:
    """Wait until the job is in a state."""
    async with asyncio.timeout(15):
        while wanted != await state(running, tenant, job_id):
            await asyncio.sleep(0.01)


def violations(*clients: redis.Redis) -> list[str]:
    """Over all partitions, each on a server of its own where there are several."""
    found = []
    for number in range(COUNT):
        found += Keyspace(clients[number % len(clients)], number).violations()
    return found


def by_tenant(grants: list[lease_pb.Grant]) -> dict[str, lease_pb.Grant]:
    """One grant for each."""
    return {grant.lease.tenant: grant for grant in grants}
