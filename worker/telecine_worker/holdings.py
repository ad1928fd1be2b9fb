"""The leases this worker holds, and the attempts that run under them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from contextlib import suppress
from datetime import timedelta

import structlog

from telecine.v1 import lease_service_pb2 as pb
from telecine_worker import convert
from telecine_worker.condition import Condition
from telecine_worker.disk_guard import DiskGuard
from telecine_worker.failure import internal_error
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.grant import AttemptFactory, Send, hold, refusal_of
from telecine_worker.held_lease import HeldLease
from telecine_worker.journal import Journal
from telecine_worker.lease_key import LeaseKey
from telecine_worker.metrics import WorkerMetrics
from telecine_worker.outcome import Failed, StopReason, returned_if_interrupted
from telecine_worker.unconfirmed import Unconfirmed

log = structlog.get_logger(__name__)

AT_ONCE = timedelta()
# In a Hello.
MOST_HELD = 4096


class Holdings:
    """Takes grants, answers them, runs attempts, and reports how they end. *send* puts fields into the next message.
    *offered* are the kinds of tasks that are run here.

    A lease is in one of two places: among the held ones, or, once it is over, among the lost ones until its attempt
    has cleaned up. Lost ones still take room, and nothing more is said about them.
    """

    def __init__(
        self,
        *,
        slots: int,
        offered: Set[str],
        attempts: AttemptFactory,
        journal: Journal,
        condition: Condition,
        disk: DiskGuard,
        metrics: WorkerMetrics,
        send: Send,
    ) -> None:
        self._slots = slots
        self._offered = offered
        self._attempts = attempts
        self._journal = journal
        self.unconfirmed = Unconfirmed(journal)
        self._condition = condition
        condition.listen(self.feel)
        self._disk = disk
        disk.listen(self.look_again)
        self._metrics = metrics
        self._send = send
        self._leases: dict[tuple[str, str], HeldLease] = {}
        self._lost: set[HeldLease] = set()
        self._runs = asyncio.TaskGroup()
        self._received = 0
        self._limit = 0
        self._changed = asyncio.Event()
        self._stopping = False
        self._told_to_drain = False
        self._ailing = False

    @property
    def busy(self) -> int:
        """Units that run."""
        return sum(lease.units for lease in (*self._leases.values(), *self._lost))

    @property
    def draining(self) -> bool:
        """Whether no more work is taken: the process stops, or the scheduler of this stream said so."""
        return self._stopping or self._told_to_drain

    async def run(self) -> None:
        """Own the attempts until cancelled; with it, all of them end, and their processes."""
        async with self._runs:
            await asyncio.Event().wait()

    # How a stream begins.

    def begin_stream(self) -> tuple[list[pb.Renewal], list[pb.Outcome]]:
        """Everything held and everything unconfirmed, for a Hello; grants are counted anew from here.

        The lease of an outcome that has no room in the Hello is still held.
        """
        self._received = 0
        self._told_to_drain = False
        for lease in self._leases.values():
            lease.tell_again()
        outcomes = self.unconfirmed.begin_stream()
        room = max(0, MOST_HELD - len(self._leases))
        later = [pb.Renewal(lease=each.lease) for each in self.unconfirmed.left_out()[:room]]
        return [*(lease.renewal() for lease in self._leases.values()), *later], outcomes

    def resume(self, welcome: pb.Welcome) -> None:
        """The stream is open: take its verdicts, and say what has come up since the Hello."""
        for ack in welcome.outcome_acks:
            self.acknowledge(ack)
        for result in welcome.renew_results:
            self.rule(result)
        self.send_credit()
        new = self.unconfirmed.rest()
        if new:
            self._send(outcomes=new)
        for lease in self._leases.values():
            lease.begin_stream()

    def send_credit(self) -> None:
        """Say how much may be granted: what came on this stream and what is free."""
        self._limit = self._received + self._free()
        self._send(credit=pb.Credit(limit=self._limit, draining=self.draining))

    def look_again(self) -> None:
        """What is free may have changed without an end of an attempt."""
        if self._received + self._free() != self._limit:
            self.send_credit()

    def _free(self) -> int:
        if self.draining or self._ailing:
            return 0
        starting = sum(lease.units for lease in self._leases.values() if lease.is_starting)
        return self._disk.room(max(0, self._slots - self.busy), starting)

    # What the scheduler says.

    def take(self, grant: pb.Grant) -> None:
        """Accept a grant and begin, or refuse it."""
        key = LeaseKey.of(grant.lease)
        units = grant.units or 1
        self._received += units
        held, ended = self._leases.get(key.job), self._journal.find(key)
        if ended is not None:
            self._send(outcomes=[ended])
        elif held and held.key == key:
            self._send(accepts=[pb.Accept(lease=key.ref)])
        else:
            if held and held.key.token < key.token:
                self._lose(held)
            # An older grant of a job that is held under a newer one has come late.
            fits = self.busy + units <= self._slots and key.job not in self._leases
            refusal = refusal_of(grant, draining=self.draining, ailing=self._ailing, offered=self._offered, fits=fits)
            self._send(accepts=[pb.Accept(lease=key.ref, refusal=refusal)])
            if not refusal:
                self._start(hold(grant, self._attempts, self._send), grant.attempt)
                return
            self._metrics.count_refusal(pb.Accept.Refusal.Name(refusal))
        self.send_credit()  # The grant took credit, and no room.

    def _start(self, lease: HeldLease, attempt: int) -> None:
        key = lease.key
        self._leases[key.job] = lease
        log.info("attempt begins", tenant=key.tenant, job_id=key.job_id, token=key.token, attempt=attempt)
        self._runs.create_task(self._run(lease), name=f"attempt {key.tenant}/{key.job_id}")

    def rule(self, result: pb.RenewResult) -> None:
        """A verdict on a lease."""
        held = self._held(result.lease)
        if held is None:
            return
        held.hear()
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
        """The answer to a publish request."""
        held = self._held(decision.lease)
        if held is None:
            return
        held.question.decide(decision)
        if decision.decision == pb.PublishDecision.DECISION_STALE:
            self._lose(held)

    def acknowledge(self, ack: pb.OutcomeAck) -> None:
        """An outcome was recorded, or does not count any more."""
        key = LeaseKey.of(ack.lease)
        if ack.ack not in {pb.OutcomeAck.ACK_TRY_AGAIN, pb.OutcomeAck.ACK_UNSPECIFIED}:
            self._journal.remove(key)
            self._changed.set()
        following = self.unconfirmed.hear(key)
        if following:
            self._send(outcomes=following)

    def be_drained(self) -> None:
        """The scheduler of this stream wants no more work taken from it."""
        self._told_to_drain = True
        self.send_credit()

    def feel(self, ailment: str | None) -> None:
        """Something that work needs is broken, or None: no more. What runs goes on: it may get through."""
        self._ailing = ailment is not None
        self._metrics.healthy.set(not self._ailing)
        self.send_credit()

    def _held(self, ref: pb.LeaseRef) -> HeldLease | None:
        key = LeaseKey.of(ref)
        held = self._leases.get(key.job)
        return held if held and held.key == key else None

    # What is said without being asked.

    def tick(self, renew_every_seconds: float) -> None:
        """Once a second: renew what is due or has progress to tell, and send outcomes again that nobody acknowledged."""
        for lease in [lease for lease in self._leases.values() if lease.overdue]:
            # Renewed, it would keep its job from everybody else for as long as it hangs.
            log.error("attempt hangs", job_id=lease.key.job_id, token=lease.key.token, after=str(lease.longest_run))
            self._lose(lease)
        due = [lease.renewal() for lease in self._leases.values() if lease.is_due(renew_every_seconds)]
        if due:
            self._send(renewals=due)
        again = self.unconfirmed.due()
        if again:
            self._send(outcomes=again)
        self._metrics.show(busy=self.busy, speeds=[lease.speed_now for lease in self._leases.values()])

    @property
    def unanswered_seconds(self) -> float:
        """For how long a renewal of this stream has waited for its answer."""
        return max((lease.unanswered_seconds for lease in self._leases.values()), default=0.0)

    # How attempts end.

    async def _run(self, lease: HeldLease) -> None:
        outcome = await self._outcome(lease)
        if outcome is not None and not lease.lost:
            await self._journal.add(outcome)
        self._lost.discard(lease)
        if self._leases.get(lease.key.job) is lease:
            del self._leases[lease.key.job]
        if lease.lost:
            # It may have been lost while its outcome was written.
            self._journal.remove(lease.key)
        elif outcome is not None:
            self._send(outcomes=[outcome])
        self.send_credit()
        self._changed.set()

    async def _outcome(self, lease: HeldLease) -> pb.Outcome | None:
        """Run the attempt to its end; what to report."""
        named = log.bind(tenant=lease.key.tenant, job_id=lease.key.job_id, token=lease.key.token)
        try:
            ended = await lease.attempt.run()
            if self._stopping:
                ended = returned_if_interrupted(ended)
            ended = await self._condition.judge(lease.key.job, ended)
            outcome = convert.outcome(lease.key.ref, ended)
        except Exception as error:  # noqa: BLE001 - the supervisor: one attempt must not end the others
            named.exception("attempt met a defect")
            ended = Failed(usage=Usage(), failure=internal_error(error))
            outcome = convert.outcome(lease.key.ref, ended)
        reason = ended.failure.reason if isinstance(ended, Failed) else None
        named.info("attempt ended", outcome=type(ended).__name__.lower(), reason=reason)
        self._metrics.count_end(ended, task=lease.task, speed=lease.speed)
        return outcome

    def _lose(self, lease: HeldLease) -> None:
        """The lease is over: stop quickly and say nothing more about it."""
        lease.lost = True
        del self._leases[lease.key.job]
        self._lost.add(lease)
        lease.attempt.stop(StopReason.LEASE_LOST, AT_ONCE)

    async def drain(self, patience: timedelta, ending: timedelta, hurry: asyncio.Event) -> bool:
        """Take no more; let attempts finish for *patience* or until *hurry*, then return the others, and wait *ending* for
        their ends and for acknowledgements. Whether all attempts have ended: one may hang in a file system.
        """
        self._stopping = True
        self.send_credit()
        hurried = asyncio.create_task(hurry.wait())
        hurried.add_done_callback(lambda _: self._changed.set())
        await self._wait_until(lambda: not self._leases or hurry.is_set(), patience)
        hurried.cancel()
        for lease in list(self._leases.values()):
            lease.attempt.stop(StopReason.DRAINED, AT_ONCE)
        await self._wait_until(lambda: not self.busy and not self._journal.unconfirmed, ending)
        return not self.busy

    async def _wait_until(self, done: Callable[[], bool], within: timedelta) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                while not done():
                    self._changed.clear()
                    await self._changed.wait()
