"""Every series of the worker, with its help and labels."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from telecine_worker.failure import FailureKind
from telecine_worker.outcome import Ended, Failed
from telecine_worker.sandbox.confinement import Mode

_SPEEDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)
_PHASE_SECONDS = (0.01, 0.1, 1, 5, 15, 60, 300, 1800, 7200, 28800)
_MEMORY = tuple(float(2**power << 20) for power in range(4, 15))
_OUTCOMES = ("succeeded", "returned", "cancelled", "abandoned")
# Failures for want of time, by reason.
_LIMITS = {"STALLED": "stall", "RUN_TIMEOUT": "run", "TOTAL_TIMEOUT": "total"}
_REFUSALS = ("no_slot", "draining", "unhealthy", "unsupported")
_LOOKS = ("hit", "miss")
_SCHEMES = ("file", "http", "https", "s3", "gs", "az")


class WorkerMetrics:
    """Made once, with the registry it fills."""

    def __init__(self, registry: CollectorRegistry, *, slots: int, ffmpeg: str) -> None:
        self.slots = Gauge("telecine_worker_slots", "Units this worker runs at once.", registry=registry)
        self.slots.set(slots)
        self.busy = Gauge("telecine_worker_busy_slots", "Units that run now.", registry=registry)
        self.connected = Gauge("telecine_worker_connected", "1 while a scheduler is connected.", registry=registry)
        self.speed_now = Gauge(
            "telecine_worker_ffmpeg_speed", "Media seconds per wall second, summed over what runs.", registry=registry
        )
        self.speed = Histogram(
            "telecine_ffmpeg_speed", "Media seconds per wall second, of each ended attempt.", buckets=_SPEEDS,
            registry=registry,
        )  # fmt: skip
        self.ends = Counter(
            "telecine_worker_attempts", "Ended attempts, by outcome and kind of failure.", ["outcome", "kind"],
            registry=registry,
        )  # fmt: skip
        self.exits = Counter("telecine_ffmpeg_exits", "Failed attempts by FFmpeg's end.", ["exit"], registry=registry)
        self.tasks = Counter(
            "telecine_worker_tasks", "Ended attempts, by kind of task and outcome.", ["task", "outcome"],
            registry=registry,
        )  # fmt: skip
        self.timeouts = Counter(
            "telecine_worker_timeouts", "Attempts that failed for want of time, by limit.", ["limit"], registry=registry
        )
        self.refusals = Counter(
            "telecine_worker_refusals", "Grants that were refused, by reason.", ["reason"], registry=registry
        )
        self.healthy = Gauge(
            "telecine_worker_healthy", "0 while something that work needs is broken.", registry=registry
        )
        self.healthy.set(1)
        self.input_bytes = Counter(
            "telecine_worker_input_bytes", "Bytes of opened inputs, by scheme; all but those of file are fetched, or cached.",
            ["scheme"], registry=registry,
        )  # fmt: skip
        self.cached_inputs = Counter(
            "telecine_worker_cached_inputs", "Inputs that were looked for in the cache and opened, by whether they were there.",
            ["result"], registry=registry,
        )  # fmt: skip
        self.cached_input_bytes = Counter(
            "telecine_worker_cached_input_bytes", "Bytes of inputs that were in the cache, and not fetched again.",
            registry=registry,
        )  # fmt: skip
        self.cache_bytes = Gauge("telecine_worker_cache_bytes", "Bytes of inputs in the cache.", registry=registry)
        self.output_bytes = Counter("telecine_worker_output_bytes", "Bytes of published files.", registry=registry)
        self.phases = Histogram(
            "telecine_attempt_phase_seconds", "Wall time of ended attempts in each phase that they entered, by kind of task.",
            ["task", "phase"], buckets=_PHASE_SECONDS, registry=registry,
        )  # fmt: skip
        self.cpu = Counter(
            "telecine_attempt_cpu_seconds", "CPU time of the child processes of ended attempts, by kind of task.",
            ["task"], registry=registry,
        )  # fmt: skip
        self.peak_memory = Histogram(
            "telecine_attempt_peak_memory_bytes", "The largest memory of a child process of each ended attempt that had any.",
            buckets=_MEMORY, registry=registry,
        )  # fmt: skip
        self.sandbox = Gauge(
            "telecine_worker_sandbox", "1 for what confines FFmpeg, 0 for the others.", ["mode"], registry=registry
        )
        info = Gauge(
            "telecine_build_info", "1, with what is running.", ["component", "version", "python", "ffmpeg"],
            registry=registry,
        )  # fmt: skip
        info.labels("worker", version("telecine"), platform.python_version(), ffmpeg).set(1)
        for outcome in _OUTCOMES:
            self.ends.labels(outcome, "")
        for kind in FailureKind:
            self.ends.labels("failed", kind.value)
        for limit in _LIMITS.values():
            self.timeouts.labels(limit)
        for reason in _REFUSALS:
            self.refusals.labels(reason)
        for scheme in _SCHEMES:
            self.input_bytes.labels(scheme)
        for result in _LOOKS:
            self.cached_inputs.labels(result)

    def show_sandbox(self, used: Mode) -> None:
        """Once, at the start."""
        for mode in Mode:
            self.sandbox.labels(mode.value).set(mode is used)

    def show(self, *, busy: int, speeds: Iterable[float]) -> None:
        """Set the gauges."""
        self.busy.set(busy)
        self.speed_now.set(sum(speeds))

    def count_refusal(self, refusal: str) -> None:
        """By the name in the contract."""
        self.refusals.labels(refusal.removeprefix("REFUSAL_").lower()).inc()

    def count_input(self, scheme: str, size_bytes: int) -> None:
        """An input was opened."""
        self.input_bytes.labels(scheme).inc(size_bytes)

    def count_look(self, found_bytes: int | None) -> None:
        """So many bytes of an input were in the cache; None: it was fetched."""
        self.cached_inputs.labels("miss" if found_bytes is None else "hit").inc()
        self.cached_input_bytes.inc(found_bytes or 0)

    def count_end(self, ended: Ended, *, task: str, speed: float) -> None:
        """An attempt ended; *speed* is the last one it reported, 0 while unknown."""
        failure = ended.failure if isinstance(ended, Failed) else None
        outcome = type(ended).__name__.lower()
        self.ends.labels(outcome, failure.kind.value if failure else "").inc()
        self.tasks.labels(task, outcome).inc()
        if failure and failure.reason in _LIMITS:
            self.timeouts.labels(_LIMITS[failure.reason]).inc()
        if failure and failure.exit_code is not None:
            self.exits.labels("signal" if failure.exit_code < 0 else str(failure.exit_code)).inc()
        if speed > 0:
            self.speed.observe(speed)
        self._count_cost(ended, task)

    def _count_cost(self, ended: Ended, task: str) -> None:
        self.cpu.labels(task).inc(ended.usage.cpu.total_seconds())
        self.output_bytes.inc(ended.output_size_bytes)
        for phase, spent in ended.phases.items():
            self.phases.labels(task, phase.value).observe(spent.total_seconds())
        if ended.usage.peak_memory_bytes:
            self.peak_memory.observe(ended.usage.peak_memory_bytes)
