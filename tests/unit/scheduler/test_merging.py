"""One answer from those of several partitions."""

from __future__ import annotations

from datetime import timedelta

from telecine_scheduler.domain.figures import ClassStats, Stats
from telecine_scheduler.domain.job import JobState
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.domain.worker import WorkerOffer, WorkerRecord
from telecine_scheduler.store.merging import merged_stats, merged_workers

OFFER = WorkerOffer(queues=frozenset({"default"}), capabilities=frozenset(), slots=4, version="1")


def row(worker_id: str, *, busy: int = 0, draining: bool = False, connected: int = 5, seen: int = 9) -> WorkerRecord:
    return WorkerRecord(
        worker_id=worker_id, offer=OFFER, busy=busy, draining=draining, connected=connected, last_seen=seen
    )


def test_a_worker_is_busy_with_what_it_does_for_all() -> None:
    """What was said of it last counts, and it is connected since it first was."""
    pages = [[row("w", busy=1, connected=3, seen=8)], [row("w", busy=2, draining=True, seen=9)], []]

    assert [row("w", busy=3, draining=True, connected=3, seen=9)] == merged_workers(pages, 10)


def test_a_page_has_the_first_of_all() -> None:
    """By id, no more than were asked for, though each partition listed so many."""
    pages = [[row("a"), row("c")], [row("b"), row("c")], [row("c"), row("d")]]

    assert ["a", "b"] == [worker.worker_id for worker in merged_workers(pages, 2)]
    assert ["a", "b", "c", "d"] == [worker.worker_id for worker in merged_workers(pages, 5)]


def test_figures_are_summed_by_what_a_class_stands_for() -> None:
    """Ids are not compared: the same class may have another one elsewhere. The oldest is the oldest of all."""
    one = JobClass(queue="one", units=1, requirements=frozenset())
    two = JobClass(queue="two", units=1, requirements=frozenset())

    def stats(leases: int, **ready: tuple[int, int]) -> Stats:
        return Stats(
            jobs={JobState.QUEUED: leases, JobState.RUNNING: 1}, leases=leases,
            classes=[
                ClassStats(job_class={"one": one, "two": two}[name], ready=number, oldest=timedelta(seconds=age))
                for name, (number, age) in ready.items()
            ],
        )  # fmt: skip

    found = merged_stats([stats(1, one=(1, 5)), stats(2, two=(2, 6), one=(3, 4)), stats(0)])

    assert ({JobState.QUEUED: 3, JobState.RUNNING: 3}, 3) == (dict(found.jobs), found.leases)
    assert [
        ClassStats(job_class=one, ready=4, oldest=timedelta(seconds=5)),
        ClassStats(job_class=two, ready=2, oldest=timedelta(seconds=6)),
    ] == list(found.classes)
