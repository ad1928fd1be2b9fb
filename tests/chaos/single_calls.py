"""Submits that are sent once: what the scheduler answers is what the history has, with nothing repeated behind it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import grpc

from chaos.rig.history import History
from support.rpc_errors import read
from telecine.v1 import media_pb2, scheduler_service_pb2_grpc
from telecine.v1 import scheduler_service_pb2 as pb

# "No caller waits over five seconds"; a call that is still open then has failed a scenario, so it is waited for longer.
PROMISED_SECONDS = 5.0
LONGEST_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """*outcome* as in the history; *code* is OK where it was acknowledged; *told_when* whether it says when to come again."""

    outcome: str
    code: grpc.StatusCode
    began: float
    seconds: float
    told_when: bool = False


class SingleCalls:
    """One client with a connection of its own."""

    def __init__(self, address: str, tenant: str, history: History) -> None:
        self._tenant = tenant
        self._history = history
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._stub = scheduler_service_pb2_grpc.SchedulerServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def submit(self, job_id: str, spec: media_pb2.JobSpec) -> Answer:
        """One SubmitJob. Whatever is not OK and not UNAVAILABLE is refused: nobody may see that while Redis is in trouble."""
        began = time.monotonic()
        request = pb.SubmitJobRequest(tenant=self._tenant, job_id=job_id, spec=spec)
        try:
            await self._stub.SubmitJob(request, timeout=LONGEST_SECONDS)
            outcome, code, told_when = "ok", grpc.StatusCode.OK, False
        except grpc.aio.AioRpcError as error:
            unknown = error.code() is grpc.StatusCode.UNAVAILABLE
            outcome, code = "unknown" if unknown else "refused", error.code()
            told_when = read(error).retry_seconds is not None
        answer = Answer(
            outcome=outcome, code=code, began=began, seconds=time.monotonic() - began, told_when=told_when
        )  # fmt: skip
        self._history.note("call", call="submit", job=job_id, began=began, outcome=outcome, reason=code.name, state="")
        return answer
