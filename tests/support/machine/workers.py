"""What workers do, and schedulers for them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule

from support.machine.choices import WORKERS, backs, having, picks, streams, workers
from support.machine.driver import Driver
from telecine_scheduler.domain.errors import StreamFenced
from telecine_scheduler.domain.job import AttemptOutcome, FailureKind
from telecine_scheduler.domain.lease import Lease, Report, Ruling, StreamId, Verdict
from telecine_scheduler.domain.worker import WorkerReport


def ruled(ruling: Ruling) -> tuple[object, ...]:
    """An answer as the model gives it."""
    if ruling.verdict in (Verdict.STALE, Verdict.ADOPTABLE) and not ruling.timeout:
        return (ruling.verdict.value, *(["FORGIVEN"] if ruling.forgiven else []))
    return (ruling.verdict.value, ruling.waited is not None, ruling.timeout or ruling.cancel_grace)


class Workers(Driver):
    """Connect, take jobs, keep them, and say how they ended."""

    async def _register(self, stream: StreamId) -> None:
        self.agree(self._model.register(stream), (await self._store.register(stream)).value)

    @rule(stream=streams, pick=picks, draining=st.sampled_from([False, False, True]))
    def connect(self, stream: StreamId, pick: int, draining: bool) -> None:
        """Any stream, or mostly the next one of a worker that is away; its scheduler says that it is there."""
        known = self._model.workers[stream.worker_id]
        if pick % 4:
            stream = replace(stream, session_id=known.session, epoch=known.epoch + (not known.up))
        self.call("register", stream)
        self.call("report_worker", stream, draining)

    async def _report_worker(self, stream: StreamId, draining: bool) -> None:
        report = WorkerReport(stream=stream, offer=WORKERS[stream.worker_id][1], draining=draining)
        fenced = await self._store.report_workers([report])
        self.agree([] if self._model.report_worker(stream, report.offer, draining=draining) else [stream], fenced)

    @having("LR")
    @rule(worker_id=workers, shorten=st.booleans())
    def disconnect(self, worker_id: str, shorten: bool) -> None:
        self.call("disconnect", self._stream(worker_id), shorten)

    async def _disconnect(self, stream: StreamId, shorten: bool) -> None:
        await self._store.disconnect(stream, shorten=shorten)
        self._model.disconnect(stream, shorten=shorten)

    @having("LRC")
    @rule(worker_id=workers, held=st.lists(st.tuples(picks, backs), max_size=3))
    def reclaim(self, worker_id: str, held: list[tuple[int, int]]) -> None:
        self.call("reclaim", self._stream(worker_id), [self.lease(*each) for each in held])

    async def _reclaim(self, stream: StreamId, held: list[Lease]) -> None:
        try:
            answer = sorted(await self._store.reclaim(stream, held))
        except StreamFenced:
            answer = None
        self.agree(self._model.reclaim(stream, held), answer)

    @having("Q")
    @rule(worker_id=workers, free=st.integers(1, 4), accepted=st.sampled_from([True, True, False]))
    def begin(self, worker_id: str, free: int, accepted: bool) -> None:
        """What is granted is accepted, or not yet."""
        leases = self.granted(worker_id, free)
        for lease in leases if accepted else ():
            self.call("accept", lease, "")

    def granted(self, worker_id: str, free: int) -> list[Lease]:
        """What a dispatch grants."""
        before = {name: len(given) for name, given in self._model.tokens.items()}
        self.call("dispatch", self._stream(worker_id), free)
        granted = [name for name, given in self._model.tokens.items() if len(given) > before.get(name, 0)]
        return [self._lease(name) for name in granted]

    async def _dispatch(self, stream: StreamId, free: int) -> None:
        served, worker = WORKERS[stream.worker_id][0], self._model.owner(stream)
        fenced = worker is None or not worker.up
        await self._bench.classes.refresh()
        classes = {id_: each.units for each in served if (id_ := self._bench.classes.id_of(each))}
        try:
            grants = (await self._store.dispatch(stream, free=free, classes=classes)).grants
        except StreamFenced:
            self.agree(fenced, True)
            return
        self.agree(fenced, False)
        self.agree(None, self._model.dispatch(stream, free, served, grants))

    @having("L")
    @rule(pick=picks, back=backs, refusal=st.sampled_from(["", "NO_SLOT", "UNSUPPORTED", "UNHEALTHY"]))
    def accept(self, pick: int, back: int, refusal: str) -> None:
        self.call("accept", self.lease(pick, back, "L"), refusal)

    async def _accept(self, lease: Lease, refusal: str) -> None:
        self.agree(self._model.accept(lease, refusal), ruled(await self._store.accept(lease, refusal=refusal)))

    @having("LRC")
    @rule(pick=picks, back=backs, sequence=st.integers(0, 5), progress=st.sampled_from([b"", b"p", b"q"]))
    def renew(self, pick: int, back: int, sequence: int, progress: bytes) -> None:
        self.call("renew", self.lease(pick, back), sequence, progress)

    async def _renew(self, lease: Lease, sequence: int, progress: bytes) -> None:
        ruling = await self._store.renew(lease, sequence=sequence, progress=progress)
        self.agree(self._model.renew(lease, sequence, progress), ruled(ruling))

    @having("LRC")
    @rule(pick=picks, back=backs)
    def publish(self, pick: int, back: int) -> None:
        """It renews meanwhile."""
        self.call("publish", self.lease(pick, back))
        self.call("renew", self.lease(pick, back), 0, b"")

    async def _publish(self, lease: Lease) -> None:
        self.agree(self._model.publish(lease), ruled(await self._store.publish(lease)))

    @having("LRC")
    @rule(pick=picks, back=backs)
    def succeed(self, pick: int, back: int) -> None:
        self.call("finish", Report(lease=self.lease(pick, back), outcome=AttemptOutcome.SUCCEEDED, value=b"result"))

    @having("LRC")
    @rule(pick=picks, back=backs, kind=st.sampled_from([*FailureKind, FailureKind.CRASH, FailureKind.RETRYABLE]))
    def fail(self, pick: int, back: int, kind: FailureKind) -> None:
        lease, value = self.lease(pick, back), kind.encode()
        self.call("finish", Report(lease=lease, outcome=AttemptOutcome.FAILED, kind=kind, value=value, short=value))

    @having("LRC")
    @rule(pick=picks, back=backs, outcome=st.sampled_from([AttemptOutcome.RETURNED, AttemptOutcome.CANCELLED]))
    def give_back(self, pick: int, back: int, outcome: AttemptOutcome) -> None:
        self.call("finish", Report(lease=self.lease(pick, back), outcome=outcome, value=b"returned"))

    async def _finish(self, report: Report) -> None:
        answer = await self._store.finish(report)
        said = [answer.outcome.value] if answer.outcome else ["FORGIVEN"] if answer.forgiven else []
        self.agree(self._model.finish(report), (answer.ack.value, *said))

    async def _adopt(self, lease: Lease, stream: StreamId) -> None:
        self.agree(self._model.adopt(lease, stream), await self._store.adopt(lease, stream))
