"""Jobs, workers and a queue's numbers as tables, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from telecine_client.cli.rendering import age_text, labels_text, note
from telecine_client.values import Job, QueueStats, Worker

_JOB = ("JOB", "STATE", "AGE", "ATTEMPTS", "NOTE")
_JOB_WIDE = ("JOB", "STATE", "AGE", "ATTEMPTS", "TASK", "QUEUE", "LABELS", "NOTE")
_WORKER = ("WORKER", "STATE", "SLOTS", "BUSY", "QUEUES", "CONNECTED", "SEEN")
_WORKER_WIDE = (*_WORKER, "VERSION", "CAPABILITIES")


class Table:
    """Rows that come a batch at a time; a column never gets narrower than it was."""

    def __init__(self, head: Sequence[str]) -> None:
        self._head: list[Sequence[str]] = [head]
        self._widths = [0] * len(head)

    def lines(self, rows: Iterable[Sequence[str]]) -> Iterator[str]:
        """The next rows; before the first ones the head. What is empty is a dash."""
        batch = [*self._head, *([cell or "-" for cell in row] for row in rows)]
        self._head = []
        for row in batch:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, row, strict=True)]
        for row in batch:
            cells = (cell.ljust(width) for cell, width in zip(row, self._widths, strict=True))
            yield "  ".join(cells).rstrip()


class JobTable:
    """Jobs, a line each; wide ones need the full view. Those that are not wide end at *width*, where one is given."""

    def __init__(self, *, wide: bool, width: int | None = None) -> None:
        self._wide = wide
        self._width = None if wide else width
        self._table = Table(_JOB_WIDE if wide else _JOB)

    def lines(self, jobs: Iterable[Job]) -> Iterator[str]:
        """The next jobs."""
        now = datetime.now(UTC)
        return (self._cropped(line) for line in self._table.lines([self._row(job, now) for job in jobs]))

    def _cropped(self, line: str) -> str:
        return line if self._width is None or len(line) <= self._width else f"{line[: self._width - 1]}…"

    def _row(self, job: Job, now: datetime) -> Sequence[str]:
        age = age_text(now - job.create_time) if job.create_time else ""
        wide = (_task(job), _queue(job), labels_text(job.labels)) if self._wide else ()
        return (job.job_id, job.state.value, age, str(job.attempt_count), *wide, note(job))


def _task(job: Job) -> str:
    return (job.spec.task.WhichOneof("kind") or "") if job.spec else ""


def _queue(job: Job) -> str:
    return (job.spec.queue or "default") if job.spec else ""


class WorkerTable:
    """Workers, a line each."""

    def __init__(self, *, wide: bool) -> None:
        self._wide = wide
        self._table = Table(_WORKER_WIDE if wide else _WORKER)

    def lines(self, workers: Iterable[Worker]) -> Iterator[str]:
        """The next workers."""
        now = datetime.now(UTC)
        return self._table.lines([self._row(worker, now) for worker in workers])

    def _row(self, worker: Worker, now: datetime) -> Sequence[str]:
        times = (worker.connect_time, worker.last_seen_time)
        connected, seen = (age_text(now - time) if time else "" for time in times)
        state = "draining" if worker.draining else "connected"
        wide = (worker.version, ",".join(sorted(worker.capabilities))) if self._wide else ()
        slots, busy = str(worker.slot_count), str(worker.busy_slot_count)
        return (worker.worker_id, state, slots, busy, ",".join(worker.queues), connected, seen, *wide)


def stats_lines(stats: QueueStats) -> Iterator[str]:
    """A number a line: the jobs of each state, then what serves them."""
    for state, count in stats.jobs_by_state.items():
        yield f"{state.value:<15} {count}"
    yield f"{'blocked':<15} {stats.blocked_job_count}"
    oldest = stats.oldest_queued
    yield f"{'oldest queued':<15} {age_text(oldest) if oldest is not None else '-'}"
    yield f"{'workers':<15} {stats.worker_count}"
    yield f"{'slots':<15} {stats.busy_slot_count} of {stats.slot_count} busy"
