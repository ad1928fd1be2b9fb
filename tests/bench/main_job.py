"""What the main job costs: `./run python tests/bench/main_job.py` prints one JSON object.

Real scheduler process, real Redis, a worker that does nothing (the lease stream is real), two settings of durability. Times are
medians in milliseconds, beside a bare gRPC call and a bare PING in the same run: compare ratios, not figures.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import grpc
import redis.asyncio

from support.processes import System
from support.running_scheduler import ScriptedWorker, a_spec
from telecine.v1 import job_pb2
from telecine_client import AsyncClient

ROUNDS = 300
PAUSE_SECONDS = 0.02
QUEUED = 2000


async def median_ms(call: Callable[[], Awaitable[object]]) -> float:
    """The median time of *call*, on an idle system."""
    times = []
    for _ in range(ROUNDS):
        await asyncio.sleep(PAUSE_SECONDS)
        began = time.perf_counter()
        await call()
        times.append(time.perf_counter() - began)
    return round(statistics.median(times) * 1000, 3)


async def submit_to_start(client: AsyncClient, address: str) -> dict[str, float]:
    """From the call of submit to the grant in the worker's hands, one job at a time."""
    started, answered = [], []
    async with ScriptedWorker(address) as worker:
        await worker.welcome()
        for number in range(1, ROUNDS + 1):
            await worker.send(credit={"limit": number})
            await asyncio.sleep(PAUSE_SECONDS)
            began = time.perf_counter()
            submitting = asyncio.create_task(client.submit(a_spec()))
            grant = await worker.until(lambda response: response.grants and response.grants[0])
            started.append(time.perf_counter() - began)
            await submitting
            answered.append(time.perf_counter() - began)
            await worker.finish(grant.lease, succeeded=job_pb2.JobResult())
    return {
        "submit_to_start_ms": round(statistics.median(started) * 1000, 3),
        "submit_to_start_p99_ms": round(statistics.quantiles(started, n=100)[98] * 1000, 3),
        "submit_ms": round(statistics.median(answered) * 1000, 3),
    }


async def bytes_per_queued_job(client: AsyncClient, connection: redis.asyncio.Redis) -> float:
    """Memory of the store per job, with a spec of 400 bytes and an id that is a UUID."""
    spec = a_spec()
    spec.inputs["in"].uri = "file:///" + "m" * (400 - spec.ByteSize() + len("media/in.mp4"))
    await client.submit(spec)
    before = (await connection.info("memory"))["used_memory"]
    for _ in range(QUEUED // 50):
        await asyncio.gather(*(client.submit(spec) for _ in range(50)))
    return round(((await connection.info("memory"))["used_memory"] - before) / QUEUED, 1)


async def measure(system: System, address: str) -> dict[str, float]:
    connection = redis.asyncio.Redis(unix_socket_path=str(system.redis.socket))
    async with AsyncClient(address) as client, grpc.aio.insecure_channel(address) as channel:
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        figures = {
            "bare_ping_ms": await median_ms(connection.ping),
            "bare_grpc_ms": await median_ms(lambda: health(b"")),
        }
        figures |= await submit_to_start(client, address)
        figures["bytes_per_queued_job"] = await bytes_per_queued_job(client, connection)
    await connection.aclose()
    return figures


def main() -> None:
    figures = {}
    for durability, appendfsync in (("everysec", "everysec"), ("fsync", "always")):
        with System(appendfsync=appendfsync, DURABILITY=durability) as system:
            scheduler = system.scheduler().start()
            figures[durability] = asyncio.run(measure(system, scheduler.ready["grpc"]))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
