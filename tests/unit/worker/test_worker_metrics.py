"""What the worker counts: every label is there from the start, and each end is counted under its own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from telecine_worker.failure import Failure, FailureKind
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.metrics import WorkerMetrics
from telecine_worker.outcome import Failed, Succeeded


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> WorkerMetrics:
    return WorkerMetrics(registry, slots=1, ffmpeg="none")


@pytest.mark.parametrize(
    ("reason", "limit"), [("STALLED", "stall"), ("RUN_TIMEOUT", "run"), ("TOTAL_TIMEOUT", "total"), ("NO_SPACE", None)]
)
def test_time_that_ran_out_is_counted_by_limit(metrics, registry, reason, limit):
    """And nothing else is."""
    failure = Failure(kind=FailureKind.DEADLINE, reason=reason, message="x")
    metrics.count_end(Failed(usage=Usage(), failure=failure), task="probe", speed=0.0)
    counted = {
        each: registry.get_sample_value("telecine_worker_timeouts_total", {"limit": each})
        for each in ("stall", "run", "total")
    }
    assert dict.fromkeys(("stall", "run", "total"), 0.0) | ({limit: 1.0} if limit else {}) == counted


def test_ends_are_counted_by_task(metrics, registry):
    """With the outcome beside it."""
    ended = Succeeded(usage=Usage(), artifacts=(), inputs={})
    metrics.count_end(ended, task="thumbnails", speed=0.0)
    labels = {"task": "thumbnails", "outcome": "succeeded"}
    assert 1.0 == registry.get_sample_value("telecine_worker_tasks_total", labels)


def test_what_attempts_cost_is_counted(metrics, registry):
    """CPU time and each phase by kind of task, bytes out, and the memory of those that had any."""
    for peak in (0, 100 << 20):
        ended = Succeeded(
            usage=Usage(cpu=timedelta(seconds=2), peak_memory_bytes=peak), artifacts=(), inputs={}, output_size_bytes=7,
            phases={Phase.ENCODING: timedelta(seconds=3)},
        )  # fmt: skip
        metrics.count_end(ended, task="transcode", speed=0.0)
    of_task = {"task": "transcode"}
    expected = {
        ("telecine_attempt_cpu_seconds_total", ("task",)): 4.0,
        ("telecine_attempt_phase_seconds_sum", ("task", "phase")): 6.0,
        ("telecine_worker_output_bytes_total", ()): 14.0,
        ("telecine_attempt_peak_memory_bytes_count", ()): 1.0,
    }
    labels = of_task | {"phase": "encoding"}
    found = {
        (name, names): registry.get_sample_value(name, {each: labels[each] for each in names})
        for name, names in expected
    }
    assert expected == found


def test_labels_are_there_from_the_start(metrics, registry):
    """So that a first event is an increase."""
    for name, labels in (
        ("telecine_worker_refusals_total", {"reason": "unsupported"}),
        ("telecine_worker_input_bytes_total", {"scheme": "https"}),
        ("telecine_worker_timeouts_total", {"limit": "stall"}),
        ("telecine_worker_cached_inputs_total", {"result": "hit"}),
        ("telecine_worker_cached_inputs_total", {"result": "miss"}),
    ):
        assert 0.0 == registry.get_sample_value(name, labels)
    metrics.count_input("https", 5)
    metrics.count_refusal("REFUSAL_NO_SLOT")
    assert 5.0 == registry.get_sample_value("telecine_worker_input_bytes_total", {"scheme": "https"})
    assert 1.0 == registry.get_sample_value("telecine_worker_refusals_total", {"reason": "no_slot"})


def test_looks_into_the_cache_are_counted(metrics, registry):
    """Bytes of what was there alone: they were not fetched."""
    for found in (None, 5, None, 2, None):
        metrics.count_look(found)
    results = [
        registry.get_sample_value("telecine_worker_cached_inputs_total", {"result": each}) for each in ("hit", "miss")
    ]
    assert [2.0, 3.0] == results
    assert 7.0 == registry.get_sample_value("telecine_worker_cached_input_bytes_total")
