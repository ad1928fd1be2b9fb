"""Why nobody could run a job: the closest miss is said."""

from __future__ import annotations

import pytest

from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.domain.worker import WorkerOffer
from telecine_scheduler.service.blocking import Ability, blocked_reason


def a_class(*requirements: str, queue: str = "default", units: int = 1) -> JobClass:
    return JobClass(queue=queue, units=units, requirements=frozenset(requirements))


def able(*capabilities: str, queues: tuple[str, ...] = ("default",), slots: int = 2, draining: bool = False) -> Ability:
    offer = WorkerOffer(
        queues=frozenset(queues), capabilities=frozenset(capabilities), slots=slots, version="1"
    )  # fmt: skip
    return Ability(offer=offer, draining=draining)


@pytest.mark.parametrize(
    ("job_class", "abilities", "says"),
    [
        (a_class(), [], "no worker is connected; start one that serves the queue 'default'"),
        (
            a_class(queue="night"),
            [able(queues=("b", "a"))],
            "no connected worker serves the queue 'night' (they serve 'a', 'b'); start one that does",
        ),
        (
            a_class("x", "y"),
            [able("x"), able(queues=("other",), slots=9)],
            "no worker that serves the queue 'default' offers y; start one that does",
        ),
        (
            a_class("x", "y"),
            [able()],
            "no worker that serves the queue 'default' offers x and y; start one that does",
        ),
        (
            a_class("x", "y"),
            [able("x"), able("y")],
            "no single worker that serves the queue 'default' offers all it requires; the closest one lacks",
        ),
        (
            a_class("x", units=4),
            [able(slots=8), able("x", slots=2), able("x", slots=3)],
            "it needs 4 slots at once, and the largest worker that could run it has 3; start one with more, "
            "or submit it with fewer units",
        ),
        (
            a_class("x"),
            [able("x", draining=True), able()],
            "every worker that could run it is draining and takes no more work",
        ),
        (a_class("x", units=2), [able(), able("x", "z"), able("x", draining=True)], ""),
    ],
)
def test_the_closest_miss_is_said(job_class: JobClass, abilities: list[Ability], says: str) -> None:
    """First that a label is missing, then slots, then that they drain; nothing where one could run it."""
    text = blocked_reason(job_class, abilities)

    assert (bool(says), True) == (bool(text), text.startswith(says))


def test_many_queues_are_not_all_listed() -> None:
    """Five are enough."""
    text = blocked_reason(a_class(queue="night"), [able(queues=tuple("abcdefgh"))])

    assert "(they serve 'a', 'b', 'c', 'd', 'e', ...)" in text
