"""The worker's stream, message by message: how it connects, what it says again, and when it gives up."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from support.scripted_scheduler import ScriptedScheduler
from support.worker_bench import Bench, MakeBench, lease
from telecine.v1 import lease_service_pb2 as pb
from telecine_client import channels
from telecine_process.addresses import parse_address
from telecine_scheduler.rpc import server
from telecine_worker import lease_stream, reconnection, unconfirmed
from telecine_worker.ffmpeg.progress import Phase, Snapshot
from telecine_worker.outcome import StopReason

Code = grpc.StatusCode
STALE, CANCEL, TRY_AGAIN = (
    pb.RenewResult.VERDICT_STALE, pb.RenewResult.VERDICT_CANCEL, pb.RenewResult.VERDICT_TRY_AGAIN,
)  # fmt: skip


async def test_a_hello_says_who_and_a_credit_how_much(bench: Bench) -> None:
    """The first message is the Hello alone; the credit comes after the Welcome."""
    stream = await bench.scheduler.stream()
    hello = stream.hello
    assert ("w1", "s1", 1, 4, ["default"]) == (
        hello.worker_id, hello.session_id, hello.stream_epoch, hello.slots, list(hello.queues)
    )  # fmt: skip
    assert [] == stream.messages
    stream.welcome()
    assert 4 == await stream.credit()


async def test_a_reconnecting_worker_says_what_it_holds(bench: Bench) -> None:
    """After a break: the next epoch, every held lease with its newest progress, and credit counted anew."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    bench.attempts[1].report(Snapshot(phase=Phase.ENCODING, frame_count=7))
    first = await stream.renewal()
    await stream.fail(Code.UNAVAILABLE)

    again = await bench.scheduler.stream()
    (held,) = again.hello.held_leases
    assert (2, lease(), 7) == (again.hello.stream_epoch, held.lease, held.progress.frame_count)
    assert held.sequence > first.sequence
    again.welcome()
    assert 3 == await again.credit()
    assert [] == bench.attempts[1].stops


async def test_a_scheduler_that_vanishes_is_looked_for(bench: Bench) -> None:
    """The connection is cut without a word: a scheduler that comes back at the same place finds the lease in the Hello."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    await bench.scheduler.vanish()
    async with ScriptedScheduler(bench.scheduler.address.port) as successor:
        again = await successor.stream()
        assert [lease()] == [renewal.lease for renewal in again.hello.held_leases]


async def test_progress_between_hello_and_welcome_is_told(bench: Bench) -> None:
    """What the worker would have said then is not sent, and said again at the Welcome."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    await stream.fail(Code.UNAVAILABLE)
    again = await bench.scheduler.stream()
    bench.attempts[1].report(Snapshot(phase=Phase.ENCODING, frame_count=7))
    (held,) = bench.holdings._leases.values()
    await bench.until(lambda: not held.is_due(1e9))
    again.welcome()
    assert 7 == (await again.renewal()).progress.frame_count


async def test_stale_in_the_welcome_ends_the_attempt(bench: Bench) -> None:
    """The verdicts of the Welcome count as any others."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    await stream.fail(Code.UNAVAILABLE)
    again = await bench.scheduler.stream()
    again.welcome(renew_results=[pb.RenewResult(lease=lease(), verdict=STALE)])
    assert 3 == await again.credit()
    assert 4 == await again.credit()
    assert [StopReason.LEASE_LOST] == bench.attempts[1].stops


async def test_renewals_go_on_though_the_store_is_away(bench: Bench) -> None:
    """TRY_AGAIN changes nothing: the attempt runs, and the next renewal asks again."""
    stream = await bench.scheduler.welcomed(renew_interval=timedelta(milliseconds=50))
    stream.grant(lease())
    await stream.accept()
    sequences = []
    for _ in range(3):
        sequences.append((await stream.renewal()).sequence)
        stream.rule(lease(), TRY_AGAIN)
    assert sorted(set(sequences)) == sequences
    assert [] == bench.attempts[1].stops


async def test_a_fenced_stream_is_followed_by_the_next_epoch(bench: Bench) -> None:
    """FENCED means that a newer stream of this session was seen: only a higher epoch can follow."""
    stream = await bench.scheduler.stream()
    await stream.fail(Code.FAILED_PRECONDITION, "FENCED")
    assert 2 == (await bench.scheduler.stream()).hello.stream_epoch


async def test_a_worker_with_a_twin_waits_as_it_is_told(bench: Bench) -> None:
    """ALREADY_CONNECTED: not before RetryInfo says."""
    stream = await bench.scheduler.stream()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await stream.fail(Code.ALREADY_EXISTS, "ALREADY_CONNECTED", timedelta(seconds=0.6))
    await bench.scheduler.welcomed()
    assert loop.time() - began >= 0.6


async def test_no_common_protocol_is_final(bench: Bench) -> None:
    """Which ends the process with 2. What runs is not touched by that; the stream goes on trying."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    await stream.fail(Code.UNAVAILABLE)
    await (await bench.scheduler.stream()).fail(Code.FAILED_PRECONDITION, "UNSUPPORTED_PROTOCOL")
    async with asyncio.timeout(10):
        await bench.stream.refused.wait()
    assert ("scripted UNSUPPORTED_PROTOCOL", []) == (bench.stream.refusal, bench.attempts[1].stops)
    await bench.scheduler.welcomed()


def unsupported() -> grpc.aio.AioRpcError:
    """As a scheduler of another version says it."""
    status = ScriptedScheduler.status(Code.FAILED_PRECONDITION, "UNSUPPORTED_PROTOCOL")
    trailers = grpc.aio.Metadata(*status.trailing_metadata)
    return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailers, details=status.details)


def test_all_schedulers_have_to_refuse_a_worker() -> None:
    """While they are replaced one is newer: only when each has said so since the last Welcome is it final."""
    addresses = [parse_address(f"10.0.0.{number}:50051") for number in (1, 2)]
    reconnecting = reconnection.Reconnection(addresses)
    for _ in range(2):
        reconnecting.consider(unsupported(), addresses[0])
    reconnecting.succeed()
    reconnecting.consider(unsupported(), addresses[1])
    assert reconnecting.refusal is None
    reconnecting.consider(unsupported(), addresses[0])
    assert "scripted UNSUPPORTED_PROTOCOL" == reconnecting.refusal


def test_a_peer_that_does_not_answer_pings_is_left_in_time() -> None:
    """After 15 s on an idle connection, on every side: gRPC's own limit for the answer is a minute."""
    for options in (lease_stream.OPTIONS, server.OPTIONS, channels.OPTIONS):
        wanted = {
            "grpc.keepalive_time_ms": 10_000,
            "grpc.keepalive_timeout_ms": 5_000,
            "grpc.http2.ping_timeout_ms": 5_000,
        }
        assert wanted.items() <= dict(options).items()


async def test_a_broken_rule_is_an_accident_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """INVALID_ARGUMENT on a welcome stream: back at once, within the grace of its leases; a second one soon after waits."""
    monkeypatch.setattr(reconnection, "LONGEST_PAUSE_SECONDS", 0.8)
    loop = asyncio.get_running_loop()
    waits = []
    stream = await bench.scheduler.welcomed()
    for _ in range(2):
        began = loop.time()
        await stream.fail(Code.INVALID_ARGUMENT, "PROTOCOL_VIOLATION")
        stream = await bench.scheduler.welcomed()
        waits.append(loop.time() - began)
    assert (True, True) == (waits[0] < 0.5, waits[1] >= 0.8)


async def test_a_worker_that_moves_says_bye_and_comes_back(bench: Bench) -> None:
    """GoAway with one scheduler: Bye, half-close, and a new stream to the same one, with everything held."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    stream.go_away()
    await stream.bye()
    await stream.half_closed()
    await stream.close()
    again = await bench.scheduler.stream()
    assert (2, [lease()]) == (again.hello.stream_epoch, [renewal.lease for renewal in again.hello.held_leases])
    assert [] == bench.attempts[1].stops


async def test_a_scheduler_that_never_closes_is_left(bench: Bench) -> None:
    """After Bye a worker waits a moment, and goes."""
    stream = await bench.scheduler.welcomed()
    stream.go_away()
    await stream.bye()
    again = await bench.scheduler.welcomed()
    assert 2 == again.hello.stream_epoch
    await asyncio.wait_for(stream.over.wait(), 10)


async def test_a_drained_worker_takes_nothing_until_the_next_stream(bench: Bench) -> None:
    """Drain belongs to the scheduler that said it: credit falls to what came, grants on the way are refused, and another
    scheduler may give work again.
    """
    stream = await bench.scheduler.welcomed()
    stream.send(drain=pb.Drain())
    assert 0 == await stream.credit()
    stream.grant(lease())
    assert pb.Accept.REFUSAL_DRAINING == (await stream.accept()).refusal
    await stream.fail(Code.UNAVAILABLE)
    again = await bench.scheduler.stream()
    again.welcome()
    assert 4 == await again.credit()
    assert not bench.holdings.draining


async def test_a_stopping_worker_drains_on_every_stream(bench: Bench) -> None:
    """SIGTERM is for ever: the credit of the next stream is 0, too."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    draining = asyncio.create_task(bench.holdings.drain(timedelta(minutes=1), timedelta(seconds=5), asyncio.Event()))
    assert 1 == await stream.credit()
    await stream.fail(Code.UNAVAILABLE)
    again = await bench.scheduler.welcomed()
    assert bench.holdings.draining
    bench.attempts[1].end()
    outcome = await again.outcome()
    again.acknowledge(outcome.lease)
    assert await draining
    assert {0} == {message.credit.limit for message in again.messages if message.HasField("credit")}


async def test_a_worker_that_finishes_says_bye_last(bench: Bench) -> None:
    """Bye, half-close, and no other stream."""
    stream = await bench.scheduler.welcomed()
    finishing = asyncio.create_task(bench.stream.finish())
    await stream.bye()
    await stream.half_closed()
    await stream.close()
    await finishing
    assert stream.messages[-1].HasField("bye")
    assert bench.running.pop(1).done()


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.ALREADY_EXISTS])
async def test_refused_streams_leave_no_tasks(bench: Bench, code: Code) -> None:
    """However often a scheduler refuses, no task stays behind that waits for something to send."""
    for _ in range(4):
        stream = await bench.scheduler.stream()
        await stream.fail(code, "", timedelta(0))
    await bench.scheduler.welcomed()

    def writers() -> int:
        return sum("consume_request_iterator" in repr(task.get_coro()) for task in asyncio.all_tasks())

    await bench.until(lambda: writers() <= 1)


async def test_a_scheduler_that_does_not_answer_is_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Welcome within the time for it: the worker tries again."""
    await bench.scheduler.stream()
    assert not bench.stream.connected.is_set()
    monkeypatch.setattr(lease_stream, "ANSWER_SECONDS", 0.1)
    # The first wait began with the old patience; a break begins the next.
    await bench.scheduler.vanish()
    async with ScriptedScheduler(bench.scheduler.address.port) as successor:
        epochs = [(await successor.stream()).hello.stream_epoch for _ in range(2)]
    assert 1 == epochs[1] - epochs[0]


@pytest.mark.parametrize(("most", "ttl"), [(0.3, timedelta(seconds=30)), (10.0, timedelta(seconds=0.6))])
async def test_a_scheduler_that_does_not_answer_renewals_is_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, most: float, ttl: timedelta
) -> None:
    """It is stopped, or hangs: its connection shows that only later. The lease goes along, and FFmpeg goes on. Where leases are
    short, so is the patience: half of their time.
    """
    monkeypatch.setattr(lease_stream, "ANSWER_SECONDS", most)
    lease_ttl = Duration()
    lease_ttl.FromTimedelta(ttl)
    stream = await bench.scheduler.welcomed(renew_interval=timedelta(milliseconds=20), lease_ttl=lease_ttl)
    stream.grant(lease())
    await stream.accept()
    renewal = await stream.renewal()
    began = asyncio.get_running_loop().time()
    again = await bench.scheduler.stream()
    waited = asyncio.get_running_loop().time() - began

    assert waited > 0.2
    assert (lease(), 2, [lease()]) == (
        renewal.lease, again.hello.stream_epoch, [held.lease for held in again.hello.held_leases]
    )  # fmt: skip
    assert [] == bench.attempts[1].stops
    # The new stream has its own patience: what was asked on the old one is not waited for.
    again.welcome(renew_interval=timedelta(milliseconds=20), lease_ttl=lease_ttl)
    for _ in range(3):
        await again.renewal()
        again.rule(lease(), TRY_AGAIN)
    await asyncio.wait_for(stream.over.wait(), 10)
    assert not again.over.is_set()


async def test_a_scheduler_that_answers_is_not_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any answer counts: while the store is away, a scheduler says just that."""
    monkeypatch.setattr(lease_stream, "ANSWER_SECONDS", 0.3)
    stream = await bench.scheduler.welcomed(renew_interval=timedelta(milliseconds=20))
    stream.grant(lease())
    await stream.accept()
    loop = asyncio.get_running_loop()
    until = loop.time() + 0.9
    while loop.time() < until:
        await stream.renewal()
        stream.rule(lease(), TRY_AGAIN)
    assert not stream.over.is_set()


async def test_a_long_journal_follows_the_welcome(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hello has no more outcomes than a scheduler takes, the oldest first; the others are said at once after it."""
    monkeypatch.setattr(unconfirmed, "MOST_IN_HELLO", 3)
    monkeypatch.setattr(unconfirmed, "RESEND_OUTCOME_SECONDS", 3600.0)
    async with make_bench() as bench:
        stream = await bench.scheduler.welcomed()
        for token in range(1, 6):
            stream.grant(lease(f"job{token}", token))
            await stream.accept()
            bench.attempts[token].end()
            await stream.outcome()
        await stream.fail(Code.UNAVAILABLE)
        again = await bench.scheduler.stream()
        again.welcome()
        rest = [(await again.outcome()).lease.token for _ in range(2)]
        assert ([1, 2, 3], [4, 5]) == ([each.lease.token for each in again.hello.unconfirmed_outcomes], rest)


async def test_a_defect_in_what_comes_in_costs_one_stream(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a message cannot be made of ends the stream, and not the attempts."""
    monkeypatch.setattr(lease_stream, "LONGEST_PAUSE_SECONDS", 0.0)
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    order = pb.CancelOrder(lease=lease())
    order.cancel_grace.seconds = 10**15  # more than a timedelta holds
    stream.send(cancel_orders=[order])
    again = await bench.scheduler.stream()
    assert [lease()] == [renewal.lease for renewal in again.hello.held_leases]


async def test_schedulers_are_tried_in_turn(bench: Bench) -> None:
    """With two of them, a break leads to the other one."""
    async with ScriptedScheduler() as other:
        stream = lease_stream.LeaseStream(
            bench.stream._introduction, [bench.scheduler.address, other.address], bench.stream._metrics
        )
        running = asyncio.create_task(stream.run(bench.holdings))
        await bench.scheduler.stream()  # the bench's own
        first = asyncio.create_task(bench.scheduler.stream())
        second = asyncio.create_task(other.stream())
        done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        await done.pop().result().fail(Code.UNAVAILABLE)
        await asyncio.wait({first, second}, timeout=10)
        assert (True, True) == (first.done(), second.done())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_pauses_grow_to_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full jitter: at once after a break, then within a second while the leases' grace lasts, then up to ten seconds."""
    monkeypatch.undo()
    counted = reconnection.Reconnection([])
    assert counted.pause() <= 0.3
    counted.lose()
    assert 0.3 < max(counted.pause() for _ in range(100)) <= 1.0
    counted._broke_at -= 60
    assert 5 < max(counted.pause() for _ in range(200)) <= 10
    counted.succeed()
    assert counted.pause() <= 0.3
