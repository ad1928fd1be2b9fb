"""telecine_worker_streams: how many workers there are, however they leave."""

from __future__ import annotations

import asyncio
import random

from support.running_scheduler import Running, ScriptedWorker
from telecine.v1 import lease_service_pb2 as lease_pb

NOWHERE = lease_pb.LeaseRef(tenant="default", job_id="none", token=1)


async def test_workers_that_hang_up_are_counted_out(scheduler: Running) -> None:
    """While answers are under way: gRPC cancels such a call again, in the middle of its end."""

    async def come_and_go(number: int) -> None:
        async with ScriptedWorker(scheduler.address, worker_id=f"w{number}") as worker:
            await worker.welcome()
            for sequence in range(random.randrange(5)):
                await worker.send(renewals=[lease_pb.Renewal(lease=NOWHERE, sequence=sequence + 1)])
            await asyncio.sleep(random.random() / 100)
            if number % 2:
                await worker.call.done_writing()

    for hundred in range(0, 300, 100):
        await asyncio.gather(*map(come_and_go, range(hundred, hundred + 100)))

    await scheduler.shows({"worker_streams": 0})
