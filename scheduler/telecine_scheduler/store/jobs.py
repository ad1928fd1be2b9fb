"""The verbs of callers: submit, read, list, cancel, retry, delete."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from telecine_scheduler.domain.admission import BatchRefused
from telecine_scheduler.domain.errors import JobIdSpent, QueueFull, TelecineError, TooManyClasses
from telecine_scheduler.domain.figures import QueueCounts
from telecine_scheduler.domain.job import Job, JobName, JobState, time_of
from telecine_scheduler.domain.reply import CancelReply, DeleteReply, RetryReply
from telecine_scheduler.domain.submission import JobClass, Submission
from telecine_scheduler.store import codec
from telecine_scheduler.store.base import StoreBase
from telecine_scheduler.store.codec import decode_job, microseconds
from telecine_scheduler.store.keys import pack, unpack
from telecine_scheduler.store.lane import Argument

MAX_BATCH = 500
TOMBSTONE = timedelta(hours=24)


class JobVerbs(StoreBase):
    """What callers do with jobs."""

    async def submit(self, job: Submission, *, dispatches: bool) -> tuple[Job, bool]:
        """Admit a job; the job as it is now and whether it was there before, whatever its spec (its bytes come with it).

        *dispatches* says that this scheduler sends a dispatch right behind, so that the store need not wake it.
        Raises QueueFull, TooManyClasses and JobIdSpent.
        """
        word, reply = await self._durable.call("submit", self._admitting(dispatches=dispatches), self._item(job))
        error = _refusal(job.name, word, reply)
        if error:
            raise error
        return decode_job(job.name, reply), word == b"EXISTS"

    async def submit_all(self, jobs: Sequence[Submission]) -> list[tuple[Job, bool]]:
        """Admit at most 500 jobs of one tenant, no id twice: all of them, or none. As `submit` for each, but without specs.

        Raises BatchRefused. An item whose job exists with another digest is refused too; where the specs turn out to be equal
        all the same, call again with that item's digest replaced by the job's, which counts as equal.
        """
        word, *replies = await self._durable.call("submit_all", self._admitting(dispatches=False), self._batch(jobs))
        if word == b"REFUSED":
            raise _batch_refusal(jobs, replies)
        return [
            (decode_job(job.name, dump), each == b"EXISTS") for job, (each, dump) in zip(jobs, replies, strict=True)
        ]

    async def check(self, jobs: Sequence[Submission]) -> list[Job | None]:
        """What `submit_all` would come to, without doing it: the jobs (without specs) that exist with an equal digest, None for
        those that would be created. Raises what `submit_all` would.
        """
        batch = self._batch([replace(job, spec=b"") for job in jobs])
        word, *replies = await self._fast.call("check", self._admitting(dispatches=False), batch)
        if word == b"REFUSED":
            raise _batch_refusal(jobs, replies)
        return [decode_job(job.name, dump) if dump else None for job, dump in zip(jobs, replies, strict=True)]

    def _batch(self, jobs: Sequence[Submission]) -> tuple[Argument, ...]:
        if not 0 < len(jobs) <= MAX_BATCH or len({job.name.tenant for job in jobs}) > 1:
            raise ValueError(f"a batch has 1 to {MAX_BATCH} jobs of one tenant, not {len(jobs)}")
        if len({job.name for job in jobs}) < len(jobs):
            raise ValueError("a batch names no job twice")
        return (len(jobs), *itertools.chain.from_iterable(map(self._item, jobs)))

    def _admitting(self, *, dispatches: bool) -> tuple[Argument, ...]:
        limits = self._admission
        return (
            self._scheduler, int(dispatches), limits.max_queued, limits.max_queued_per_tenant,
            limits.max_classes, limits.max_classes_per_tenant,
        )  # fmt: skip

    def _item(self, job: Submission) -> tuple[Argument, ...]:
        penalty = self._admission.ranking.penalty(job.priority)
        return (
            pack(job.name), str(job.job_class), penalty, job.job_class.units, job.digest,
            codec.policy(job.retry, job.retention), codec.limits(job.limits), codec.labels(job.labels), job.not_before,
            job.spec,
        )  # fmt: skip

    async def get(self, name: JobName, *, full: bool) -> Job | None:
        """The job as it is now, with its spec when *full*; None where there is none."""
        dump = await self._fast.call("get", (), (pack(name), int(full)))
        return decode_job(name, dump) if dump else None

    async def list_names(
        self, tenant: str, *, states: Collection[JobState], labels: Mapping[str, str], before: int | None, limit: int
    ) -> tuple[list[JobName], int | None]:
        """At most *limit* names of a tenant's jobs in these states (none: in any) with all these labels, newest first.

        Only those created before the number *before* (None: all). Beside them the number to go on before; None: these were
        the last. One call takes about 1000 looks, where asking a job for its state or a label is one, so there may be fewer
        names, or none, and more to come all the same.
        """
        letters = sorted({state.public.value for state in states})
        pairs = [f"{key}={value}" for key, value in labels.items()]
        item = (tenant, "" if before is None else before, limit, len(letters), *letters, len(pairs), *pairs)
        more, *names = await self._fast.call("list", (), item)
        return [unpack(name) for name in names], int(more) if more else None

    async def cancel(self, name: JobName, *, reason: str) -> tuple[CancelReply, Job | JobState | None]:
        """Ask for a job's end. With OK comes the job, with FINISHED its state."""
        header = (microseconds(self._times.cancel_grace),)
        word, *rest = await self._durable.call("cancel", header, (pack(name), reason))
        reply = CancelReply(word.decode())
        if reply is CancelReply.OK:
            return reply, decode_job(name, rest[0])
        return reply, JobState(rest[0].decode()) if rest else None

    async def retry(self, job: Submission, *, expected_generation: int) -> tuple[RetryReply, Job | None]:
        """Run a FAILED or CANCELLED job again, as a new generation; with the job but where there is none.

        *job* is made from the spec that is stored; of it only the name and the class count, which may have been freed.
        *expected_generation* is the one the caller saw, 0 for any; where the job is one further already, that is OK and
        nothing changes. Raises QueueFull and TooManyClasses.
        """
        item = (pack(job.name), expected_generation, str(job.job_class))
        word, rest = await self._durable.call("retry", self._admitting(dispatches=False), item)
        error = _refusal(job.name, word, rest)
        if error:
            raise error
        return RetryReply(word.decode()), decode_job(job.name, rest) if rest else None

    async def delete(self, name: JobName) -> DeleteReply:
        """Delete a final job's record. Its id stays taken for 24 h, in which deleting it again is OK."""
        header = (microseconds(TOMBSTONE),)
        return DeleteReply((await self._durable.call("delete", header, (pack(name),))).decode())

    async def queue_counts(self, tenant: str, queue: str) -> QueueCounts:
        """A tenant's jobs in one queue; in all of its queues where *queue* is empty.

        The oldest is exact where it is among the 1000 longest ready of its class, over all tenants.
        """
        states = [state for state in JobState if state is state.public]
        jobs, oldest, *ready = await self._fast.call("counts", (), (tenant, queue, len(states), *states))
        return QueueCounts(
            jobs=dict(zip(states, jobs, strict=True)),
            oldest=timedelta(microseconds=int(oldest)) if oldest else None,
            ready=[(JobClass.parse(text.decode()), number) for text, number in ready],
        )


def _refusal(name: JobName, word: bytes, reply: Any) -> TelecineError | None:
    """The error that a reply stands for; None where it is no refusal."""
    if word == b"SPENT":
        free = time_of(int(reply))
        return JobIdSpent(f"job {name} was deleted; its id is free again at {free:%Y-%m-%dT%H:%M:%SZ}, use another one")
    if word == b"CLASS_LIMIT":
        return TooManyClasses(
            f"there may be at most {int(reply)} distinct sets of queue, requirements and units with unfinished jobs; "
            "use fewer, or wait until some are finished",
            retry_after=timedelta(seconds=30),
        )
    if word in {b"TENANT_FULL", b"QUEUE_FULL"}:
        whose = f"tenant {name.tenant}" if word == b"TENANT_FULL" else "the queue"
        return QueueFull(
            f"{whose} has {int(reply)} waiting or queued jobs, which is the limit", retry_after=timedelta(seconds=5)
        )
    return None


def _batch_refusal(jobs: Sequence[Submission], replies: Iterable[Any]) -> BatchRefused:
    errors: dict[int, TelecineError] = {}
    existing: list[int] = []
    for position, word, reply in replies:
        error = _refusal(jobs[position - 1].name, word, reply)
        if error:
            errors[position - 1] = error
        else:
            existing.append(position - 1)
    return BatchRefused(errors=errors, existing=existing)
