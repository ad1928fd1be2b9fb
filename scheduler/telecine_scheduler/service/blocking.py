"""Why no worker could run a job: the closest miss, in words that say what would help. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.domain.worker import WorkerOffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """What a worker offers, and whether it takes work at all. Many workers have the same."""

    offer: WorkerOffer
    draining: bool


def blocked_reason(job_class: JobClass, abilities: Collection[Ability]) -> str:
    """Why none of these could run a job of the class; empty where one could."""
    serving = [ability for ability in abilities if job_class.queue in ability.offer.queues]
    if not serving:
        return _unserved(job_class.queue, abilities)
    nearest = min(serving, key=lambda ability: _distance(job_class, ability))
    missing = job_class.requirements - nearest.offer.capabilities
    if missing:
        return _lacking(job_class, missing, serving)
    if job_class.units > nearest.offer.slots:
        return (
            f"it needs {job_class.units} slots at once, and the largest worker that could run it has {nearest.offer.slots}; "
            "start one with more, or submit it with fewer units"
        )
    return "every worker that could run it is draining and takes no more work" if nearest.draining else ""


def _distance(job_class: JobClass, ability: Ability) -> tuple[int, int, bool]:
    """How far a worker is from running the class: what it lacks first, then slots, then that it drains."""
    missing = len(job_class.requirements - ability.offer.capabilities)
    return missing, max(0, job_class.units - ability.offer.slots), ability.draining


def _unserved(queue: str, abilities: Collection[Ability]) -> str:
    if not abilities:
        return f"no worker is connected; start one that serves the queue {queue!r}"
    served = sorted(set().union(*(ability.offer.queues for ability in abilities)))
    listed = ", ".join(map(repr, served[:5])) + (", ..." if len(served) > 5 else "")
    return f"no connected worker serves the queue {queue!r} (they serve {listed}); start one that does"


def _lacking(job_class: JobClass, missing: frozenset[str], serving: Collection[Ability]) -> str:
    listed = " and ".join(sorted(missing))
    nowhere = [label for label in missing if not any(label in ability.offer.capabilities for ability in serving)]
    if len(nowhere) == len(missing):
        return f"no worker that serves the queue {job_class.queue!r} offers {listed}; start one that does"
    return f"no single worker that serves the queue {job_class.queue!r} offers all it requires; the closest one lacks {listed}"
