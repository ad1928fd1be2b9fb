"""A worker that is only the contract: bare messages over StreamLeases, the same for every revision that speaks it.

contract_worker ADDRESS SLOTS finish: each job succeeds at once; the answer to a batch of grants is one message.
contract_worker ADDRESS SLOTS hold: jobs go on for ever, and each reports progress as soon as the last report was answered.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from dataclasses import dataclass

import grpc
import uvloop

from bench.drivers.control import answer_reports
from bench.drivers.jobs import START
from telecine.v1 import job_pb2, lease_service_pb2_grpc
from telecine.v1 import lease_service_pb2 as pb

# What the timed jobs may need, whether this revision asks for it or not.
CAPABILITIES = ("task/transcode", "encoder/libx264", "encoder/aac", "muxer/mp4", "demuxer/mov")


@dataclass(slots=True, kw_only=True)
class Record:
    """What a report says. Times are of the monotonic clock, in seconds; jobs are those whose end was acknowledged, and
    *counted* those after the first acknowledgement, from where time is taken.
    """

    jobs: int = 0
    counted: int = 0
    held: int = 0
    changes: int = 0
    messages: int = 0
    first: float = 0.0
    last: float = 0.0
    cpu_at_first: float = 0.0
    cpu_at_last: float = 0.0

    def report(self) -> dict[str, float]:
        return {
            "jobs": self.jobs, "held": self.held, "changes": self.changes, "messages": self.messages,
            "counted": self.counted, "seconds": self.last - self.first, "cpu_seconds": self.cpu_at_last - self.cpu_at_first,
        }  # fmt: skip

    def count_ends(self, ended: int) -> None:
        now, cpu = time.monotonic(), time.process_time()
        if self.jobs:
            self.counted += ended
        else:
            self.first, self.cpu_at_first = now, cpu
        self.jobs += ended
        self.last, self.cpu_at_last = now, cpu


def finished(grants: list[pb.Grant]) -> list[pb.Outcome]:
    result = job_pb2.JobResult(measurements={START: time.monotonic()})
    return [pb.Outcome(lease=grant.lease, succeeded=result) for grant in grants]


class ContractWorker:
    """One stream, from its Hello to the end of the process."""

    def __init__(self, slots: int, *, holds: bool) -> None:
        self._slots = slots
        self._holds = holds
        self._granted = 0
        self._sequence = itertools.count(1)
        self._unanswered = 0
        self._leases: list[pb.LeaseRef] = []
        self.record = Record()

    async def run(self, address: str) -> None:
        async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = lease_service_pb2_grpc.LeaseServiceStub(channel).StreamLeases()
            hello = pb.Hello(
                min_protocol_version=1, max_protocol_version=1, worker_id="bench", session_id=f"bench-{time.time_ns()}",
                stream_epoch=1, queues=["default"], slots=self._slots, capabilities=CAPABILITIES,
            )  # fmt: skip
            await call.write(pb.StreamLeasesRequest(hello=hello))
            welcome = await call.read()
            assert welcome.HasField("welcome")
            await call.write(pb.StreamLeasesRequest(credit=pb.Credit(limit=self._slots)))
            print("ready", flush=True)
            while (response := await call.read()) is not grpc.aio.EOF:
                request = self._hold(response) if self._holds else self._finish(response)
                self.record.messages += 1
                if request is not None:
                    self.record.messages += 1
                    await call.write(request)

    def _finish(self, response: pb.StreamLeasesResponse) -> pb.StreamLeasesRequest | None:
        if response.outcome_acks:
            assert all(ack.ack == pb.OutcomeAck.ACK_COMMITTED for ack in response.outcome_acks), response
            self.record.count_ends(len(response.outcome_acks))
        if not response.grants:
            return None
        self._granted += sum(grant.units for grant in response.grants)
        return pb.StreamLeasesRequest(
            outcomes=finished(list(response.grants)), credit=pb.Credit(limit=self._granted + self._slots)
        )

    def _hold(self, response: pb.StreamLeasesResponse) -> pb.StreamLeasesRequest | None:
        new = [grant.lease for grant in response.grants]
        self._leases += new
        self._unanswered -= len(response.renew_results)
        self.record.held = len(self._leases)
        self.record.changes += len(response.renew_results)
        accepts = [pb.Accept(lease=lease) for lease in new]
        # An accept is answered like a renewal.
        self._unanswered += len(accepts)
        renewals = [] if self._unanswered else self._progress()
        self._unanswered += len(renewals)
        return pb.StreamLeasesRequest(accepts=accepts, renewals=renewals) if accepts or renewals else None

    def _progress(self) -> list[pb.Renewal]:
        number = next(self._sequence)
        progress = job_pb2.Progress(phase=job_pb2.Progress.PHASE_ENCODING, speed=1.5, frame_count=number)
        progress.media_position.FromMilliseconds(number)
        return [pb.Renewal(lease=lease, sequence=number, progress=progress) for lease in self._leases]


async def main(address: str, slots: str, mode: str) -> None:
    worker, loop, ended = ContractWorker(int(slots), holds=mode == "hold"), asyncio.get_running_loop(), asyncio.Event()
    answer_reports(worker.record.report, lambda: loop.call_soon_threadsafe(ended.set))
    running, ending = asyncio.ensure_future(worker.run(address)), asyncio.ensure_future(ended.wait())
    await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
