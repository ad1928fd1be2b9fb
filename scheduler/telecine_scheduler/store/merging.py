"""One answer from those of several partitions. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from telecine_scheduler.domain.figures import ClassStats, Stats
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.domain.worker import WorkerRecord


def merged_workers(pages: Sequence[Sequence[WorkerRecord]], limit: int) -> Sequence[WorkerRecord]:
    """The first *limit* workers by id, of which each partition listed its first so many: none of them is missing then.

    A worker is connected to every partition, and busy in each with leases of its own. What is said last of it counts.
    """
    if len(pages) == 1:
        return pages[0]
    rows: dict[str, list[WorkerRecord]] = defaultdict(list)
    for page in pages:
        for row in page:
            rows[row.worker_id].append(row)
    # By UTF-8, as the store orders them; code points have the same order.
    return [_merged_worker(rows[worker_id]) for worker_id in sorted(rows)[:limit]]


def _merged_worker(rows: Sequence[WorkerRecord]) -> WorkerRecord:
    newest = max(rows, key=lambda row: row.last_seen)
    return replace(newest, busy=sum(row.busy for row in rows), connected=min(row.connected for row in rows))


def merged_stats(stats: Iterable[Stats]) -> Stats:
    """Figures over all of them."""
    found = list(stats)
    jobs = sum((Counter(dict(each.jobs)) for each in found), Counter())
    ready: Counter[JobClass] = Counter()
    classes: dict[JobClass, ClassStats] = {}
    for each in (one for stats in found for one in stats.classes):
        ready[each.job_class] += each.ready
        known = classes.get(each.job_class, each)
        classes[each.job_class] = replace(known, oldest=max(known.oldest, each.oldest))
    return Stats(
        jobs=jobs, leases=sum(each.leases for each in found),
        classes=[replace(each, ready=ready[each.job_class]) for each in classes.values()],
    )  # fmt: skip
