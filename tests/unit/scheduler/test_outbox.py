"""What gathers for a worker: one message of it all, and no more than a worker reads."""

from __future__ import annotations

import asyncio

import pytest

from telecine.v1 import lease_service_pb2 as pb
from telecine_scheduler.rpc.outbox import ROOM, Outbox


async def blocks(waiting: object) -> bool:
    """Whether this is still waiting after everything that can run has run."""
    task = asyncio.ensure_future(waiting)  # type: ignore[arg-type,var-annotated]
    for _ in range(5):
        await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return not done


async def test_what_gathers_is_one_message() -> None:
    """Answers of different kinds travel together."""
    outbox = Outbox()
    outbox.grants([pb.Grant(attempt=1)])
    outbox.outcome_acks([pb.OutcomeAck(ack=pb.OutcomeAck.ACK_STALE)])
    message = await outbox.take()

    assert message
    assert (1, 1) == (len(message.grants), len(message.outcome_acks))
    assert await blocks(outbox.take())


async def test_a_worker_that_does_not_read_is_not_read() -> None:
    """With a thousand answers waiting there is no room, until they are taken."""
    outbox = Outbox()
    outbox.renew_results([pb.RenewResult()] * (ROOM - 1))
    assert not await blocks(outbox.room())
    outbox.renew_results([pb.RenewResult()])
    assert await blocks(outbox.room())
    await outbox.take()

    assert not await blocks(outbox.room())


async def test_grants_do_not_gather() -> None:
    """The next dispatch waits until the last grants are on their way; other answers do not count."""
    outbox = Outbox()
    outbox.renew_results([pb.RenewResult()])
    assert not await blocks(outbox.granted())
    outbox.grants([pb.Grant()])
    assert await blocks(outbox.granted())
    await outbox.take()

    assert not await blocks(outbox.granted())


async def test_an_error_comes_before_what_waits() -> None:
    """A stream that has to end ends now."""
    outbox = Outbox()
    outbox.grants([pb.Grant()])
    outbox.fail(ValueError("over"))
    with pytest.raises(ValueError, match="over"):
        await outbox.take()


async def test_a_closed_outbox_is_emptied_first() -> None:
    """What was promised is sent, then the end."""
    outbox = Outbox()
    outbox.grants([pb.Grant()])
    outbox.close()

    assert await outbox.take() is not None
    assert await outbox.take() is None
