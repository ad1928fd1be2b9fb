"""The lane on a real server: batches, a forgotten script, a server that is away, full, or slow."""

from __future__ import annotations

import asyncio

import pytest
import redis

from support.redis_server import RedisServer
from support.store_bench import Bench, a_job
from telecine_scheduler.domain.errors import StoreFull, StoreUnavailable
from telecine_scheduler.domain.job import JobName, JobState
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.lane import Lane
from telecine_scheduler.store.link import close, connect


async def test_what_arrives_together_is_sent_together(bench: Bench) -> None:
    """A hundred reads of one turn of the loop cost a handful of scripts, not a hundred."""
    await bench.submit()
    name = JobName(tenant="default", job_id="job")
    before = bench.client.info("commandstats")["cmdstat_evalsha"]["calls"]

    jobs = await asyncio.gather(*(bench.store.get(name, full=False) for _ in range(100)))

    calls = bench.client.info("commandstats")["cmdstat_evalsha"]["calls"] - before
    assert ({JobState.QUEUED}, True) == ({job.state for job in jobs if job}, calls <= 4)


async def test_what_may_take_long_is_a_script_of_its_own(bench: Bench) -> None:
    """Lists and whole batches share a round trip, and Redis may serve others between them."""
    before = bench.client.info("commandstats")["cmdstat_evalsha"]["calls"]

    lists = (bench.store.list_names("default", states=(), labels={}, before=None, limit=1) for _ in range(5))
    batches = (bench.store.submit_all([a_job(f"job{number}")]) for number in range(2))
    answers = await asyncio.gather(*lists, *batches)

    # A script that Redis does not have yet is sent twice.
    calls = bench.client.info("commandstats")["cmdstat_evalsha"]["calls"] - before
    assert (7, True) == (len(answers), calls >= 7)


async def test_a_script_has_few_dispatches(bench: Bench) -> None:
    """Where many workers ask at once, Redis serves others between every few of them."""
    bench.admit()
    streams = [await bench.connect(f"x{number}") for number in range(20)]
    await bench.store.submit_all([a_job(f"job{number}") for number in range(100)])
    await bench.dispatch()
    before = bench.client.info("commandstats")["cmdstat_evalsha"]["calls"]

    grants = await asyncio.gather(*(bench.store.dispatch(stream, free=4, classes={"1": 1}) for stream in streams))

    assert 80 == len({grant.lease.name for each in grants for grant in each.grants})
    assert 20 / 4 <= bench.client.info("commandstats")["cmdstat_evalsha"]["calls"] - before < 20


async def test_a_flushed_script_cache_is_nobodys_business(bench: Bench) -> None:
    """NOSCRIPT is answered by sending the script again; no caller sees an error, and nothing is done twice."""
    await bench.submit()
    bench.client.script_flush()

    lease = await bench.lease()
    bench.client.script_flush()

    assert "KEEP" == (await bench.store.accept(lease)).verdict
    assert 1 == (await bench.job()).attempt_count


async def test_a_full_server_refuses_jobs_and_lets_others_end(bench: Bench) -> None:
    """Out of memory, a submit is refused whole, and what frees memory still works."""
    lease = await bench.start()
    bench.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull):
            await bench.submit("second")
        await bench.succeed(lease)
    finally:
        bench.client.config_set("maxmemory", 0)

    assert JobState.SUCCEEDED is await bench.state()
    assert None is await bench.store.get(JobName(tenant="default", job_id="second"), full=False)


async def test_a_killed_connection_is_replaced(bench: Bench) -> None:
    """After CLIENT KILL one call may fail as UNAVAILABLE; the next one works."""
    await bench.submit()
    bench.client.client_kill_filter(_type="normal", skipme=True)

    answers = await asyncio.gather(bench.store.get(a_job().name, full=False), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) or answer is not None for answer in answers)
    assert JobState.QUEUED is await bench.state()


async def test_a_server_that_is_away_is_said_to_be(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nobody waits: a call to a server that is not there fails at once as UNAVAILABLE."""
    client = connect(f"unix://{tmp_path_factory.mktemp('none')}/s")
    lane = Lane("fast", client, prefix(), lambda *_: None)
    running = asyncio.create_task(lane.run())
    try:
        async with asyncio.timeout(3):
            with pytest.raises(StoreUnavailable):
                await lane.call("get", (), (b"default:job", 0))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await close(client)


async def test_a_stopped_server_is_given_up_within_five_seconds(bench: Bench, redis_server: RedisServer) -> None:
    """A server that accepts and never answers costs a caller less than five seconds."""
    import os
    import signal

    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(StoreUnavailable, match="in time"):
                await bench.store.get(a_job().name, full=False)
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)

    await bench.submit()


async def test_many_callers_of_a_stopped_server_are_answered_in_time(bench: Bench, redis_server: RedisServer) -> None:
    """Whoever waits behind a pipeline that hangs does not wait for two."""
    import os
    import signal

    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(5):
            first = asyncio.create_task(bench.submit("first"))
            await asyncio.sleep(0)
            later = [asyncio.create_task(bench.submit(f"job{number}")) for number in range(500)]
            answers = await asyncio.gather(first, *later, return_exceptions=True)
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)

    assert {StoreUnavailable} == {type(answer) for answer in answers}


async def test_what_a_script_may_not_do_is_no_defect(bench: Bench) -> None:
    """A user who lost a right meanwhile is an outage: no part of a scheduler ends for it, and callers come again."""
    bench.client.execute_command("ACL", "SETUSER", "default", "-hmget")
    try:
        with pytest.raises(StoreUnavailable):
            await bench.store.get(a_job().name, full=False)
    finally:
        bench.client.execute_command("ACL", "SETUSER", "default", "+hmget")


async def test_a_caller_that_leaves_takes_nothing_back(bench: Bench) -> None:
    """A cancelled caller's submit is carried out, and its reply reaches nobody else."""
    call = asyncio.create_task(bench.submit("left"))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    others = await asyncio.gather(*(bench.submit(f"job{number}") for number in range(3)))

    assert ["job0", "job1", "job2"] == [job.name.job_id for job in others]
    assert JobState.QUEUED is await bench.state("left")


async def test_calls_that_wait_when_a_scheduler_stops_are_answered(
    redis_server: RedisServer, client: redis.Redis
) -> None:
    """The end of a lane leaves nobody waiting."""
    connection = connect(redis_server.url)
    lane = Lane("fast", connection, prefix(), lambda *_: None)
    running = asyncio.create_task(lane.run())
    await asyncio.sleep(0)
    call = asyncio.create_task(lane.call("get", (), (b"default:job", 0)))
    await asyncio.sleep(0)
    running.cancel()
    async with asyncio.timeout(5):
        [answer] = await asyncio.gather(call, return_exceptions=True)
    await asyncio.gather(running, return_exceptions=True)
    await close(connection)

    assert answer is None or answer is False or isinstance(answer, StoreUnavailable)
