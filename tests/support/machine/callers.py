"""What callers do."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from support.machine.choices import NAMES, having, picks, submissions
from support.machine.driver import Driver
from support.store_bench import a_job
from telecine_scheduler.domain.admission import BatchRefused
from telecine_scheduler.domain.errors import JobIdSpent, QueueFull, TooManyClasses
from telecine_scheduler.domain.job import JobName, JobState
from telecine_scheduler.domain.submission import Submission

REFUSALS = {QueueFull: "FULL", TooManyClasses: "CLASS_LIMIT", JobIdSpent: "SPENT", BatchRefused: "REFUSED"}


class Callers(Driver):
    """Submit, read, cancel, retry, delete."""

    @rule(pick=picks, said=submissions)
    def submit(self, pick: int, said: Submission) -> None:
        free = [name for name in NAMES if name not in self._model.jobs]
        among = free if free and pick % 4 else NAMES
        self.call("submit", self._named(among[pick // 4 % len(among)], said))

    async def _submit(self, said: Submission) -> None:
        try:
            _, existed = await self._store.submit(said, dispatches=False)
            answer = "EXISTS" if existed else "CREATED"
        except tuple(REFUSALS) as error:
            answer = REFUSALS[type(error)]
        self.agree(self._model.submit(said), answer)

    @rule(batch=st.dictionaries(st.sampled_from(NAMES[:3]), submissions, min_size=1), stored=st.booleans())
    def submit_all(self, batch: dict[JobName, Submission], stored: bool) -> None:
        self.call("submit_all", [self._named(name, said) for name, said in batch.items()], stored)

    async def _submit_all(self, batch: list[Submission], stored: bool) -> None:
        answer = "ADMISSIBLE"
        try:
            await (self._store.submit_all(batch) if stored else self._store.check(batch))
        except BatchRefused:
            answer = "REFUSED"
        self.agree(self._model.submit_all(batch) if stored else self._model.check(batch), answer)

    @having("LRCWQ")
    @rule(pick=picks, reason=st.sampled_from(["", "why"]))
    def cancel(self, pick: int, reason: str) -> None:
        self.call("cancel", self.job(pick, "LR"), reason)

    async def _cancel(self, name: JobName, reason: str) -> None:
        reply, rest = await self._store.cancel(name, reason=reason)
        answer = (reply.value, rest.value) if isinstance(rest, JobState) else (reply.value,)
        self.agree(self._model.cancel(name, reason), answer)

    @having("FX")
    @rule(pick=picks, expected=st.integers(0, 2))
    def retry(self, pick: int, expected: int) -> None:
        self.call("retry", self.job(pick, "FX"), expected)

    async def _retry(self, name: JobName, expected: int) -> None:
        job = self._model.jobs.get(name)
        said = job.said if job else a_job(name.job_id, tenant=name.tenant)
        try:
            answer = (await self._store.retry(said, expected_generation=expected))[0].value
        except tuple(REFUSALS) as error:
            answer = REFUSALS[type(error)]
        self.agree(self._model.retry(said, expected), answer)

    @having("SFX")
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        self.call("delete", self.job(pick, "SFX"))

    async def _delete(self, name: JobName) -> None:
        self.agree(self._model.delete(name), (await self._store.delete(name)).value)

    @rule(
        tenant=st.sampled_from("ab"), states=st.lists(st.sampled_from(JobState), max_size=2),
        labels=st.sampled_from([{}, {"a": "1"}, {"b": "2"}]), limit=st.integers(1, 3),
    )  # fmt: skip
    def look(self, tenant: str, states: list[JobState], labels: dict[str, str], limit: int) -> None:
        self.call("look", tenant, states, labels, limit)

    async def _look(self, tenant: str, states: list[JobState], labels: dict[str, str], limit: int) -> None:
        found, more = await self._store.list_names(tenant, states=states, labels=labels, before=None, limit=limit)
        expected = self._model.names(tenant, {state.public.value for state in states}, labels.items())
        self.agree(expected[:limit], found)
        self.agree(True, len(expected) <= limit or more is not None)
        jobs = [job.public for name, job in self._model.jobs.items() if name.tenant == tenant]
        counts = await self._store.queue_counts(tenant, "")
        self.agree({state: jobs.count(state.value) for state in counts.jobs}, counts.jobs)
        listed = [record.worker_id for record in await self._store.workers("", 5)]
        self.agree(sorted(worker_id for worker_id, each in self._model.workers.items() if each.offer), listed)
