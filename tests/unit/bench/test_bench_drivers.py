"""What drivers are made of."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import grpc
import pytest

from bench.drivers.encoding import ratios
from bench.drivers.figures import Figures, percentiles, require
from bench.drivers.jobs import spec_of
from bench.drivers.load import Tally, callers, pause
from bench.drivers.request import Missing, Request
from bench.sizes import DEFAULT, TINY
from telecine_client.job_id import new_job_id

REQUEST = Request(
    group="idle", sizes=TINY, address="127.0.0.1:1", redis="/s", folder="/f", media="/m", clip="", ffmpeg="/ffmpeg",
    scheduler_pid=1, redis_pid=2, worker_pid=0, worker_arguments=("--a", "b"), worker_settings={"A": "b"},
    backwards=True,
)  # fmt: skip


def test_a_request_arrives_as_it_was_sent() -> None:
    """Sizes and tuples included."""
    assert REQUEST == Request.from_json(REQUEST.to_json())
    assert REQUEST != replace(REQUEST, sizes=DEFAULT)


@pytest.mark.parametrize("size", [DEFAULT.spec_bytes, DEFAULT.stored_spec_bytes])
def test_a_spec_has_the_size_that_figures_are_quoted_with(size: int) -> None:
    """To the byte."""
    assert size == spec_of(size).ByteSize()


def test_ids_of_jobs_are_of_version_7() -> None:
    """As the goal for memory has them."""
    assert "7" == new_job_id()[14]


def test_percentiles_are_milliseconds() -> None:
    """The middle, and the value that 99 of 100 are below."""
    seconds = [number / 1000 for number in range(1, 101)]
    assert {"start_p50_ms": 50.5, "start_p99_ms": 100} == percentiles("start", seconds)


def test_a_call_that_the_contract_lacks_is_missing() -> None:
    """And one that it has is not."""
    require("SubmitJob")
    with pytest.raises(Missing, match="NoSuchCall"):
        require("NoSuchCall")


async def test_what_cannot_be_measured_is_said_and_what_fails_is_raised() -> None:
    """UNIMPLEMENTED is a reason; any other status is an error."""

    async def fails(code: grpc.StatusCode) -> dict[str, float]:
        raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "not there")

    figures = Figures()
    await figures.add("batch_per_s", fails(grpc.StatusCode.UNIMPLEMENTED))
    assert ({}, {"batch_per_s": "UNIMPLEMENTED: not there"}) == (figures.values, figures.missing)
    with pytest.raises(grpc.aio.AioRpcError):
        await figures.add("unary_per_s", fails(grpc.StatusCode.UNAVAILABLE))


def test_an_encode_is_compared_by_medians_and_by_the_least() -> None:
    """Pairs are not compared one by one: what is beside it on the machine hits either."""
    found = {"run": [11.0, 30.0, 10.0], "attempt": [12.0, 33.0, 11.0], "run_cpu": [2.0], "attempt_cpu": [3.0]}
    made = ratios(found | {"bare": [10.0, 8.0, 40.0], "bare_cpu": [2.0]})
    assert {"run_by_bare": 1.1, "run_by_bare_least": 1.25, "attempt_by_bare": 1.2, "attempt_by_bare_least": 1.375} == {
        name: value for name, value in made.items() if "cpu" not in name
    }
    assert (1.0, 1.5) == (made["run_cpu_by_bare"], made["attempt_cpu_by_bare_least"])


def test_a_ratio_needs_both() -> None:
    """Otherwise there is none."""
    figures = Figures(values={"a_per_s": 3.0, "b_per_s": 2.0})
    figures.ratio("a_by_b", "a_per_s", "b_per_s")
    figures.ratio("a_by_c", "a_per_s", "c_per_s")
    assert {"a_per_s": 3.0, "b_per_s": 2.0, "a_by_b": 1.5} == figures.values


async def test_a_load_counts_jobs_and_messages_until_it_is_told_to_end() -> None:
    """Of all callers, whose calls cross; each ends with its call."""
    tally, calls = Tally(), 0

    async def call() -> int:
        nonlocal calls
        calls += 1
        tally.running = calls < 10
        await asyncio.sleep(0)
        return 2

    await callers(5, call, jobs=100)(tally)
    assert calls >= 10
    assert (calls * 100, calls * 2) == (tally.done, tally.seen["messages"])


async def test_a_load_that_fails_fails_the_figure() -> None:
    """At once, with its own error."""

    async def call() -> int:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await pause(asyncio.ensure_future(callers(3, call)(Tally())), 60, until=lambda: True)


async def test_a_window_goes_on_until_something_was_done() -> None:
    """A slow machine makes a figure small, not zero."""
    looks = iter([False, False, True])
    endless = asyncio.ensure_future(asyncio.Event().wait())
    await pause(endless, 0.001, until=lambda: next(looks))
    assert [] == list(looks)
    endless.cancel()
