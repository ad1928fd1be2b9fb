"""A whole scheduler in this process, on port 0, and a worker that says what the test wants it to."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import grpc
from prometheus_client.parser import text_string_to_metric_families

from telecine.v1 import job_pb2, lease_service_pb2, lease_service_pb2_grpc, media_pb2, scheduler_service_pb2_grpc
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_process.addresses import Address
from telecine_scheduler.app import Scheduler
from telecine_scheduler.config import Config
from telecine_scheduler.domain.admission import Admission
from telecine_scheduler.domain.lease import Times
from telecine_scheduler.domain.submission import Retention
from telecine_scheduler.rpc.task_rules import TASK_KINDS
from telecine_scheduler.store.checks import Durability

LOCAL = Address(host="127.0.0.1", port=0)
lease_pb = lease_service_pb2
T = TypeVar("T")
# What a worker with a whole FFmpeg offers.
CAPABILITIES = (
    *(f"task/{kind}" for kind in sorted(TASK_KINDS)),
    *("encoder/libx264", "encoder/libx265", "encoder/libvpx-vp9", "encoder/libsvtav1"),
    *("encoder/libopus", "encoder/libmp3lame", "encoder/libwebp"),
)
# A task of a kind that only a newer contract has, field 900 of the message, without anything in it.
NEWER_KIND = bytes([900 << 3 & 0x7F | 0x82, 900 >> 4, 0])


@dataclass(frozen=True, kw_only=True)
class Running:
    """Where it is, and stubs for it."""

    address: str
    metrics: str
    channel: grpc.aio.Channel
    stop: asyncio.Event

    @property
    def jobs(self) -> scheduler_service_pb2_grpc.SchedulerServiceAsyncStub:
        return scheduler_service_pb2_grpc.SchedulerServiceStub(self.channel)

    async def submit(self, job_id: str = "job", **changes: Any) -> job_pb2.Job:
        response = await self.jobs.SubmitJob(pb.SubmitJobRequest(job_id=job_id, spec=a_spec(**changes)))
        return response.job

    async def get(self, job_id: str = "job") -> job_pb2.Job:
        return (await self.jobs.GetJob(pb.GetJobRequest(job_id=job_id))).job

    async def samples(self, *names: str) -> dict[str, float]:
        """What /metrics says under names that begin so (telecine_ aside), as name{label=value,...}."""
        samples: dict[str, float] = {}
        for family in text_string_to_metric_families(await asyncio.to_thread(_page, self.metrics)):
            for sample in family.samples:
                name = sample.name.removeprefix("telecine_")
                if name.startswith(names) and not name.endswith("_created"):
                    labels = ",".join(f"{label}={value}" for label, value in sorted(sample.labels.items()))
                    samples[name + (f"{{{labels}}}" if labels else "")] = sample.value
        return samples

    async def shows(self, wanted: Mapping[str, float]) -> None:
        """Wait until these samples have these values: gauges are set every two seconds."""
        async with asyncio.timeout(15):
            while wanted.items() - (await self.samples("")).items():
                pass


def _page(address: str) -> str:
    return str(urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read().decode())


def a_spec(**changes: Any) -> media_pb2.JobSpec:
    """A valid spec; *changes* are fields of JobSpec."""
    spec = media_pb2.JobSpec(
        inputs={"in": media_pb2.Input(uri="file:///media/in.mp4")},
        output=media_pb2.Output(uri="file:///media/out"),
        task=media_pb2.Task(
            transcode=media_pb2.TranscodeTask(input="in", path="out.mp4", video=media_pb2.Video(codec="h264"))
        ),
    )
    spec.MergeFrom(media_pb2.JobSpec(**changes))
    return spec


@contextlib.asynccontextmanager
async def running_scheduler(
    redis_url: str, *, admission: Admission | None = None, retention: Retention | None = None,
    durability: Durability = Durability.MEMORY, partitions: int = 1, **times: timedelta,
) -> AsyncIterator[Running]:  # fmt: skip
    """Runs from entering to leaving. *times* are fields of Times."""
    config = Config(
        redis_url=redis_url, listen=LOCAL, metrics_listen=LOCAL, durability=durability, assume_durable=False,
        partitions=partitions,
        times=Times(**times), admission=admission or Admission(), retention=retention or Retention(), reflection=True,
        drain=timedelta(seconds=5),
    )  # fmt: skip
    stop = asyncio.Event()
    ready: asyncio.Future[tuple[Address, Address]] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(Scheduler(config).run(stop, lambda *addresses: ready.set_result(addresses)))
    try:
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        if running.done():
            running.result()
        assert ready.done(), "the scheduler was not ready within 20 s"
        address, metrics = map(str, ready.result())
        async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            yield Running(address=address, metrics=metrics, channel=channel, stop=stop)
    finally:
        stop.set()
        await running


class ScriptedWorker:
    """The worker's end of a lease stream, message by message."""

    def __init__(self, address: str, **hello: Any) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._hello = lease_pb.Hello(
            **{
                "min_protocol_version": 1, "max_protocol_version": 1, "worker_id": "w1", "session_id": "s1",
                "stream_epoch": 1, "queues": ["default"], "capabilities": CAPABILITIES, "slots": 2,
            }
            | hello
        )  # fmt: skip
        self.call: Any = None
        self._grants: list[lease_pb.Grant] = []

    async def __aenter__(self) -> ScriptedWorker:
        self.call = lease_service_pb2_grpc.LeaseServiceStub(self._channel).StreamLeases()
        # A stream may be refused before the hello is through; `error` says how.
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self.send(hello=self._hello)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()
        await self._channel.close()

    async def send(self, **fields: Any) -> None:
        await self.call.write(lease_pb.StreamLeasesRequest(**fields))

    async def read(self) -> lease_pb.StreamLeasesResponse:
        async with asyncio.timeout(10):
            response = await self.call.read()
        if response is grpc.aio.EOF:
            raise await self.error()
        return response

    async def error(self) -> grpc.aio.AioRpcError:
        """How the stream ended."""
        async with asyncio.timeout(10):
            return grpc.aio.AioRpcError(
                await self.call.code(), await self.call.initial_metadata(), await self.call.trailing_metadata(),
                await self.call.details(),
            )  # fmt: skip

    async def until(self, pick: Callable[[lease_pb.StreamLeasesResponse], T]) -> T:
        """What *pick* finds in the first response where it finds something."""
        while True:
            found = pick(await self.read())
            if found:
                return found

    async def welcome(self) -> lease_pb.Welcome:
        return (await self.read()).welcome

    async def grant(self, limit: int = 1) -> lease_pb.Grant:
        """Give credit and wait for a grant."""
        await self.send(credit=lease_pb.Credit(limit=limit))
        return await self.until(lambda response: response.grants and response.grants[0])

    async def accept(self, ref: lease_pb.LeaseRef) -> lease_pb.RenewResult:
        await self.send(accepts=[lease_pb.Accept(lease=ref)])
        return await self.until(lambda response: response.renew_results and response.renew_results[0])

    async def renew(self, ref: lease_pb.LeaseRef, sequence: int = 1, **progress: Any) -> lease_pb.RenewResult:
        message = lease_pb.Renewal(lease=ref, sequence=sequence)
        if progress:
            message.progress.CopyFrom(job_pb2.Progress(**progress))
        await self.send(renewals=[message])
        return await self.until(lambda response: response.renew_results and response.renew_results[0])

    async def publish(self, ref: lease_pb.LeaseRef) -> lease_pb.PublishDecision:
        await self.send(publish_requests=[lease_pb.PublishRequest(lease=ref)])
        return await self.until(lambda response: response.publish_decisions and response.publish_decisions[0])

    async def finish(self, ref: lease_pb.LeaseRef, **outcome: Any) -> str:
        """Report an outcome; the word of the acknowledgement."""
        await self.send(outcomes=[lease_pb.Outcome(lease=ref, **outcome)])
        ack = await self.until(lambda response: response.outcome_acks and response.outcome_acks[0])
        return lease_pb.OutcomeAck.Ack.Name(ack.ack).removeprefix("ACK_")
