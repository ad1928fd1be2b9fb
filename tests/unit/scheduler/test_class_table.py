"""The table of classes is read once for all who ask, and after all of them have asked."""

from __future__ import annotations

import asyncio
from typing import Any

from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.store.classes import ClassTable


class Lane:
    """Answers with the table as it was when it was asked, and not before it is let."""

    def __init__(self) -> None:
        self.table: list[bytes] = []
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def call(self, verb: str, header: tuple[()], item: tuple[()]) -> list[bytes]:
        assert ("classes", (), ()) == (verb, header, item)
        self.asked += 1
        table = list(self.table)
        await self.may_answer.wait()
        return table


async def test_who_asks_while_it_is_read_shares_the_next_reading() -> None:
    """Twenty who ask at once cost a reading; those who ask while it is under way cost one more, and see what is new by then."""
    lane: Any = Lane()
    table, job_class = ClassTable(lane), JobClass(queue="late", units=1, requirements=frozenset())
    async with asyncio.timeout(10):
        early = [asyncio.create_task(table.refresh()) for _ in range(20)]
        while not lane.asked:
            await asyncio.sleep(0)
        lane.table = [b"7", str(job_class).encode()]
        late = [asyncio.create_task(table.refresh()) for _ in range(20)]
        await asyncio.sleep(0)
        lane.may_answer.set()
        await asyncio.gather(*early)
        await asyncio.gather(*late)

    assert (2, job_class) == (lane.asked, table.job_class("7"))
