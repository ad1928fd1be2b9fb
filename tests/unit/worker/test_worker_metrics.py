"""What the worker counts: every label is there from the start, and each end is counted under its own."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from telecine_worker.failure import Failure, FailureKind
from telecine_worker.ffmpeg.process import Usage
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


def test_labels_are_there_from_the_start(metrics, registry):
    """So that a first event is an increase."""
    for name, labels in (
        ("telecine_worker_refusals_total", {"reason": "unsupported"}),
        ("telecine_worker_input_bytes_total", {"scheme": "https"}),
        ("telecine_worker_timeouts_total", {"limit": "stall"}),
    ):
        assert 0.0 == registry.get_sample_value(name, labels)
    metrics.count_input("https", 5)
    metrics.count_refusal("REFUSAL_NO_SLOT")
    assert 5.0 == registry.get_sample_value("telecine_worker_input_bytes_total", {"scheme": "https"})
    assert 1.0 == registry.get_sample_value("telecine_worker_refusals_total", {"reason": "no_slot"})
