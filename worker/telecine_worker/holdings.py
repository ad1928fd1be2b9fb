"""The leases this worker holds, and the attempts that run under them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from telecine.v1 import lease_service_pb2 as pb
from telecine.v1 import media_pb2
from telecine_worker import convert
from telecine_worker.attempt import Assignment, Attempt, Permission
from telecine_worker.ffmpeg.toolchain import Toolchain
from telecine_worker.held_lease import HeldLease
from telecine_worker.journal import Journal
from telecine_worker.lease_key import LeaseKey
from telecine_worker.metrics import WorkerMetrics
from telecine_worker.outcome import Abandoned, Cancelled, Ended, Failed, Returned, StopReason, Succeeded
from telecine_worker.storage.locations import FileRoots

log = structlog.get_logger(__name__)

# A publish window is counted from the request, less this.
PUBLISH_MARGIN_SECONDS = 2.0
# How often a question that was not answered is asked again.
ASK_AGAIN_SECONDS = 2.0
RESEND_OUTCOME_SECONDS = 5.0
AT_ONCE = timedelta()

Send = Callable[..., None]


class Holdings:
    """Takes grants, answers them, runs attempts, and reports how they end. *send* puts fields into the next message."""

    def __init__(
        self,
        *,
        slots: int,
        toolchain: Toolchain,
        roots: FileRoots,
        journal: Journal,
        metrics: WorkerMetrics,
        send: Send,
    ) -> None:
        self._slots = slots
        self._toolchain = toolchain
        self._roots = roots
        self._journal = journal
        self._metrics = metrics
        self._send = send
        self._leases: dict[tuple[str, str], HeldLease] = {}
        # All runs, those included that lost their lease and are still cleaning up.
        self._runs = asyncio.TaskGroup()
        self._running = 0
        self._received = 0
        self._resent_at = 0.0
        self._changed = asyncio.Event()
        self.draining = False

    @property
    def busy(self) -> int:
        """Units that run."""
        return sum(lease.units for lease in self._leases.values())

    async def run(self) -> None:
        """Own the attempts until cancelled; with it, all of them end, and their processes."""
        async with self._runs:
            await asyncio.Event().wait()

    # What a Hello says.

    def begin_stream(self) -> tuple[list[pb.Renewal], list[pb.Outcome]]:
        """Everything held and everything unconfirmed, for a Hello; grants are counted anew from here."""
        self._received = 0
        self._resent_at = time.monotonic()
        for lease in self._leases.values():
            lease.tell_again()
        return [lease.renewal() for lease in self._leases.values()], list(self._journal.unconfirmed)

    def send_credit(self) -> None:
        """Say how much may be granted: what came on this stream and what is free."""
        free = 0 if self.draining else max(0, self._slots - self.busy)
        self._send(credit=pb.Credit(limit=self._received + free))

    # What the scheduler says.

    def take(self, grant: pb.Grant) -> None:
        """Accept a grant and begin, or refuse it."""
        key = LeaseKey.of(grant.lease)
        units = grant.units or 1
        self._received += units
        held = self._leases.get(key.job)
        if held and held.key == key:
            self._send(accepts=[pb.Accept(lease=key.ref)])
            return
        if held and held.key.token < key.token:
            self._lose(held)
        refusal = self._refusal(key, units)
        if refusal:
            self._send(accepts=[pb.Accept(lease=key.ref, refusal=refusal)])
            self.send_credit()
            return
        self._send(accepts=[pb.Accept(lease=key.ref)])
        self._start(key, units, grant)

    def _refusal(self, key: LeaseKey, units: int) -> pb.Accept.Refusal.ValueType:
        if self.draining:
            return pb.Accept.REFUSAL_DRAINING
        # An older grant of a job that is held under a newer one has come late.
        if self.busy + units > self._slots or key.job in self._leases:
            return pb.Accept.REFUSAL_NO_SLOT
        return pb.Accept.REFUSAL_UNSPECIFIED

    def _start(self, key: LeaseKey, units: int, grant: pb.Grant) -> None:
        assignment = Assignment(
            tenant=key.tenant, job_id=key.job_id, token=key.token, attempt=grant.attempt, generation=grant.generation,
            spec=media_pb2.JobSpec.FromString(grant.spec), staging_name=grant.staging_name,
        )  # fmt: skip
        named = log.bind(tenant=key.tenant, job_id=key.job_id, attempt=grant.attempt, token=key.token)
        attempt = Attempt(
            assignment, toolchain=self._toolchain, roots=self._roots, log=named,
            ask_to_publish=lambda: self._ask_to_publish(lease), on_progress=lambda snapshot: lease.note(snapshot),  # noqa: PLW0108 - the lease is made below
        )  # fmt: skip
        lease = HeldLease(key=key, units=units, attempt=attempt)
        self._leases[key.job] = lease
        named.info("attempt begins")
        self._running += 1
        self._runs.create_task(self._run(lease), name=f"attempt {key.tenant}/{key.job_id}")

    def rule(self, result: pb.RenewResult) -> None:
        """A verdict on a lease."""
        held = self._held(result.lease)
        if held is None:
            return
        if result.verdict == pb.RenewResult.VERDICT_STALE:
            self._lose(held)
        elif result.verdict == pb.RenewResult.VERDICT_CANCEL:
            held.attempt.stop(StopReason.CANCELLED, result.cancel_grace.ToTimedelta())

    def cancel(self, order: pb.CancelOrder) -> None:
        """A caller cancelled the job."""
        held = self._held(order.lease)
        if held:
            held.attempt.stop(StopReason.CANCELLED, order.cancel_grace.ToTimedelta())

    def decide(self, decision: pb.PublishDecision) -> None:
        """The answer to a publish request; TRY_AGAIN is asked again by itself."""
        held = self._held(decision.lease)
        if held and decision.decision != pb.PublishDecision.DECISION_TRY_AGAIN:
            held.answer = decision
            held.decision.set()

    def acknowledge(self, ack: pb.OutcomeAck) -> None:
        """An outcome was recorded, or does not count any more."""
        if ack.ack not in {pb.OutcomeAck.ACK_TRY_AGAIN, pb.OutcomeAck.ACK_UNSPECIFIED}:
            self._journal.remove(LeaseKey.of(ack.lease))
            self._changed.set()

    def _held(self, ref: pb.LeaseRef) -> HeldLease | None:
        key = LeaseKey.of(ref)
        held = self._leases.get(key.job)
        return held if held and held.key == key else None

    # What is said without being asked.

    def tick(self, renew_every: float) -> None:
        """Once a second: renew what is due or has progress to tell, and send outcomes again that nobody acknowledged."""
        now = time.monotonic()
        due = [
            lease for lease in self._leases.values()
            if now - lease.renewed_at >= renew_every or lease.has_news
        ]  # fmt: skip
        if due:
            self._send(renewals=[lease.renewal() for lease in due])
        if now - self._resent_at >= RESEND_OUTCOME_SECONDS and self._journal.unconfirmed:
            self._resent_at = now
            self._send(outcomes=self._journal.unconfirmed)
        self._metrics.show(
            busy=self.busy, speeds=[lease.snapshot.speed for lease in self._leases.values() if lease.snapshot]
        )

    async def _ask_to_publish(self, lease: HeldLease) -> Permission:
        """Ask until there is an answer. The window counts from the first time of asking, on the clock that never stops."""
        lease.decision.clear()
        asked = time.clock_gettime(time.CLOCK_BOOTTIME)
        while not lease.decision.is_set():
            self._send(publish_requests=[pb.PublishRequest(lease=lease.key.ref)])
            try:
                async with asyncio.timeout(ASK_AGAIN_SECONDS):
                    await lease.decision.wait()
            except TimeoutError:
                continue
        answer = lease.answer
        if answer is None or answer.decision == pb.PublishDecision.DECISION_STALE:
            return Permission(allowed=False, refusal=StopReason.LEASE_LOST)
        if answer.decision == pb.PublishDecision.DECISION_CANCEL:
            return Permission(allowed=False, refusal=StopReason.CANCELLED)
        window = answer.valid_for.ToTimedelta().total_seconds()
        return Permission(allowed=True, deadline=asked + window - PUBLISH_MARGIN_SECONDS)

    # How attempts end.

    async def _run(self, lease: HeldLease) -> None:
        try:
            ended = await lease.attempt.run()
        finally:
            self._running -= 1
        outcome = _outcome(lease.key, ended)
        log.info(
            "attempt ended", tenant=lease.key.tenant, job_id=lease.key.job_id, token=lease.key.token,
            outcome=type(ended).__name__.lower(), reason=ended.failure.reason if isinstance(ended, Failed) else None,
        )  # fmt: skip
        self._metrics.count_end(ended, speed=lease.snapshot.speed if lease.snapshot else 0.0)
        if outcome is not None:
            await self._journal.add(outcome)
        if self._leases.get(lease.key.job) is lease:
            del self._leases[lease.key.job]
        if outcome is not None:
            self._send(outcomes=[outcome])
        self.send_credit()
        self._changed.set()

    def _lose(self, lease: HeldLease) -> None:
        """The lease is over: stop quickly and say nothing more about it."""
        lease.attempt.stop(StopReason.LEASE_LOST, AT_ONCE)

    async def drain(self, patience: timedelta, confirm: timedelta) -> None:
        """Take no more; let attempts finish for *patience*, return the others, and wait *confirm* for acknowledgements."""
        self.draining = True
        self.send_credit()
        await self._wait_until(lambda: not self._leases, patience)
        for lease in list(self._leases.values()):
            lease.attempt.stop(StopReason.DRAINED, AT_ONCE)
        await self._wait_until(lambda: not self._running and not self._leases, None)
        await self._wait_until(lambda: not self._journal.unconfirmed, confirm)

    async def _wait_until(self, done: Callable[[], bool], within: timedelta | None) -> None:
        try:
            async with asyncio.timeout(within.total_seconds() if within is not None else None):
                while not done():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return


def _outcome(key: LeaseKey, ended: Ended) -> pb.Outcome | None:
    """How an attempt ended, as the scheduler is told it; None where nothing is to be said."""
    message = pb.Outcome(lease=key.ref, peak_memory_bytes=ended.usage.peak_memory_bytes)
    message.cpu_duration.FromTimedelta(ended.usage.cpu)
    match ended:
        case Succeeded():
            message.succeeded.CopyFrom(convert.result(ended))
        case Failed():
            message.failed.CopyFrom(convert.failure(ended.failure))
        case Returned():
            message.returned.reason = ended.reason
        case Cancelled():
            message.cancelled.SetInParent()
        case Abandoned():
            return None
    return message
