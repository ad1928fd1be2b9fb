"""What a worker does not take, and what it says about itself: tasks it does not know, ill health, draining, time left."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from support.scripted_scheduler import SPEC, ScriptedScheduler
from support.worker_bench import Bench, lease
from telecine.v1 import lease_service_pb2 as pb
from telecine.v1 import media_pb2
from telecine_worker.ffmpeg.time_limits import boot_seconds

YES, UNSUPPORTED = pb.Accept.REFUSAL_UNSPECIFIED, pb.Accept.REFUSAL_UNSUPPORTED


def later_kind() -> bytes:
    """A spec with a task of a kind that the contract does not have yet: field 99 of Task."""
    return bytes((0x1A, 0x04, 0x9A, 0x06, 0x01, 0x00))


def known_kind() -> bytes:
    """A kind the contract has and no worker runs yet."""
    return media_pb2.JobSpec(task=media_pb2.Task(quality=media_pb2.QualityTask(reference="a"))).SerializeToString()


def not_offered() -> bytes:
    """A kind that this worker's FFmpeg cannot run."""
    return media_pb2.JobSpec(task=media_pb2.Task(thumbnails=media_pb2.ThumbnailsTask(input="a"))).SerializeToString()


def later_option() -> bytes:
    """A known kind with an option, field 2000, that this version does not know."""
    spec = media_pb2.JobSpec.FromString(SPEC)
    spec.inputs["main"].MergeFrom(media_pb2.Input.FromString(bytes((0x80, 0x7D, 0x01))))
    return spec.SerializeToString()


@pytest.mark.parametrize("spec", [later_kind(), known_kind(), not_offered(), later_option()])
async def test_a_task_that_is_not_understood_is_refused(bench: Bench, spec: bytes) -> None:
    """A newer scheduler may have jobs for newer workers: this one leaves them alone, and its credit is whole again."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease(), spec=spec)
    accept = await stream.accept()
    assert (lease(), UNSUPPORTED) == (accept.lease, accept.refusal)
    assert (1 + 4, 0) == (await stream.credit(), bench.holdings.busy)
    assert 1 == bench.metric("telecine_worker_refusals_total", reason="unsupported")


async def test_an_ailing_worker_takes_no_work_until_it_is_mended(bench: Bench) -> None:
    """Credit for nothing, a grant that was on its way is refused, what runs goes on; then all is as before."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    assert YES == (await stream.accept()).refusal
    bench.holdings.feel("the disk is full")
    assert 1 == await stream.credit()
    stream.grant(lease("other", 2))
    assert pb.Accept.REFUSAL_UNHEALTHY == (await stream.accept()).refusal
    assert (2, [], 0.0) == (await stream.credit(), bench.attempts[1].stops, bench.metric("telecine_worker_healthy"))
    bench.holdings.feel(None)
    assert (2 + 3, 1.0) == (await stream.credit(), bench.metric("telecine_worker_healthy"))
    assert 1 == bench.metric("telecine_worker_refusals_total", reason="unhealthy")


async def test_a_worker_says_that_it_drains(scheduler: ScriptedScheduler, bench: Bench) -> None:
    """Not before it does, and in every credit from then on."""
    stream = await scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    stream.send(drain=pb.Drain())
    await stream.credit()
    said = [message.credit.draining for message in stream.messages if message.HasField("credit")]
    assert (False, True) == (said[0], said[-1])


async def test_the_time_left_counts_from_the_arrival_of_the_grant(bench: Bench) -> None:
    """On the clock that runs while the machine sleeps; without it there is no deadline."""
    stream = await bench.scheduler.welcomed()
    before = boot_seconds()
    stream.grant(lease("one", 1), total_time_left=Duration(seconds=100), cancel_grace=Duration(seconds=7))
    await stream.accept()
    after = boot_seconds()
    stream.grant(lease("two", 2))
    await stream.accept()
    one, two = bench.attempts[1].assignment, bench.attempts[2].assignment
    assert one.total_deadline is not None
    assert before + 100 <= one.total_deadline <= after + 100
    assert (timedelta(seconds=7), None) == (one.cancel_grace, two.total_deadline)
