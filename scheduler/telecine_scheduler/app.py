"""Builds the scheduler and runs it: the only place that knows every part."""

from __future__ import annotations

import asyncio
import socket
import sys
import uuid
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry
from redis.asyncio import Redis

from telecine_process.addresses import Address
from telecine_process.endpoint import Endpoint
from telecine_process.parts import every, run_until, stop_on_signals
from telecine_scheduler.config import Config
from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.rpc.answers import Answers
from telecine_scheduler.rpc.changes import Changes
from telecine_scheduler.rpc.intake import Intake
from telecine_scheduler.rpc.interceptor import CallInterceptor, RpcMetrics
from telecine_scheduler.rpc.lease_messages import endings
from telecine_scheduler.rpc.lease_servicer import LeaseServicer
from telecine_scheduler.rpc.queries import Queries
from telecine_scheduler.rpc.scheduler_servicer import SchedulerServicer
from telecine_scheduler.rpc.server import Health, build_server
from telecine_scheduler.rpc.specs import differing_fields
from telecine_scheduler.rpc.submission_stream import SubmissionStream
from telecine_scheduler.rpc.submissions import Submissions
from telecine_scheduler.rpc.validation import Validation
from telecine_scheduler.rpc.watch_calls import WatchCalls
from telecine_scheduler.service.background import Background, StoreWatch
from telecine_scheduler.service.broken_records import BrokenRecords
from telecine_scheduler.service.directory import WorkerDirectory
from telecine_scheduler.service.leasing import Leasing
from telecine_scheduler.service.submission import Submitting
from telecine_scheduler.service.watch_sets import WatchSets
from telecine_scheduler.service.watching import Watching
from telecine_scheduler.store.checks import Checks, UnfitStore
from telecine_scheduler.store.classes import ClassTable
from telecine_scheduler.store.feed import Feed, WakeUps
from telecine_scheduler.store.job_store import JobStore
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.lane import Lane
from telecine_scheduler.store.link import close, connect, shown

log = structlog.get_logger(__name__)

SWEEP_PERIOD = timedelta(milliseconds=250)
POLL_PERIOD = timedelta(seconds=1)
MEASURE_PERIOD = timedelta(seconds=2)
AT_ONCE = timedelta()
CLOSE_SECONDS = 5.0

# Called with the addresses of gRPC and of the metrics.
OnReady = Callable[[Address, Address], None]


@dataclass(slots=True)
class State:
    """Whether calls are worth making; read by the health service, the HTTP endpoint and the interceptor."""

    store_watch: StoreWatch
    checked: bool = False
    draining: bool = False

    def not_ready(self) -> str | None:
        """Why not, or None."""
        if self.draining:
            return "stopping"
        if not self.checked:
            return "waiting for the job store (Redis)"
        return "the job store (Redis) does not answer" if self.store_watch.away else None

    def gate(self) -> None:
        """Refuse calls until the store was found fit."""
        if not self.checked:
            raise StoreUnavailable("this scheduler starts: it waits for the job store (Redis)")


class Scheduler:
    """One scheduler process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._name = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self._registry = CollectorRegistry()
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            self._registry.register(collector)
        self._metrics = SchedulerMetrics(self._registry)
        self._state = State(StoreWatch())
        self._checked = asyncio.Event()
        self._clients: list[Redis] = []
        key = prefix()
        self._durable = Lane("durable", self._client(), key, self._metrics.observe_round_trip)
        self._fast = Lane("fast", self._client(), key, self._metrics.observe_round_trip)
        store = JobStore(
            durable=self._durable, fast=self._fast, scheduler=self._name, times=config.times,
            admission=config.admission, endings=endings(config.times),
        )  # fmt: skip
        classes = ClassTable(self._client(), key)
        feed = Feed(self._client(), key)
        self._leasing = Leasing(store, classes, WakeUps(self._client(), key, self._name), self._metrics)
        self._directory = WorkerDirectory(store, self._leasing)
        self._watching = Watching(store)
        broken = BrokenRecords(self._metrics)
        watch_sets = WatchSets(store, feed, self._watching, broken)
        self._background = Background(
            store=store, feed=feed, leasing=self._leasing, directory=self._directory, watching=self._watching,
            watch_sets=watch_sets, metrics=self._metrics, store_watch=self._state.store_watch,
        )  # fmt: skip
        self._health = Health()
        validation = Validation()
        self._leases = LeaseServicer(self._leasing, config.times, self._metrics, validation, self._name)
        self._servicer = self._build_servicer(store, watch_sets, validation, broken)
        self._server = build_server(
            self._servicer, self._leases, self._health,
            CallInterceptor(RpcMetrics(self._registry), self._state.gate), reflect=config.reflection,
        )  # fmt: skip

    def _build_servicer(
        self, store: JobStore, watch_sets: WatchSets, validation: Validation, broken: BrokenRecords
    ) -> SchedulerServicer:
        metrics, answers = self._metrics, Answers(self._directory)
        submitting = Submitting(store, self._leasing, differing_fields)
        intake = Intake(submitting, answers, validation, self._config.retention)
        return SchedulerServicer(
            Submissions(intake, metrics),
            SubmissionStream(intake, metrics),
            Changes(store, answers, validation, metrics),
            Queries(store, self._directory, answers, validation, broken),
            WatchCalls(self._watching, watch_sets, answers, validation, broken),
        )

    def _client(self) -> Redis:
        client = connect(self._config.redis_url)
        self._clients.append(client)
        return client

    async def run(self, stop: asyncio.Event, on_ready: OnReady) -> None:
        """Serve until *stop*. Raises UnfitStore, in a group, where the store must not be used."""
        ended = asyncio.Event()
        async with AsyncExitStack() as stack:
            for client in self._clients:
                stack.push_async_callback(close, client)
            endpoint = Endpoint(self._config.metrics_listen, self._registry, self._state.not_ready)
            stack.enter_context(endpoint)
            address = self._bind()
            await self._health.set(serving=False)
            await self._server.start()
            stack.push_async_callback(self._server.stop, 0)
            step = self._background.steadily
            # The lanes end last, because everything else answers through them.
            await run_until(
                ended,
                serve=self._serve(stop, ended, lambda: on_ready(address, endpoint.address)),
                durable=self._durable.run(),
                fast=self._fast.run(),
                health=every(SWEEP_PERIOD, self._show_health),
                sweep=self._once_checked(every(SWEEP_PERIOD, lambda: step(self._background.sweep))),
                follow=self._once_checked(every(AT_ONCE, lambda: step(self._background.follow))),
                listen=self._once_checked(every(AT_ONCE, lambda: step(self._leasing.listen))),
                poll=self._once_checked(every(POLL_PERIOD, lambda: step(self._leasing.poll))),
                beat=self._once_checked(every(AT_ONCE, lambda: step(self._directory.beat))),
                measure=self._once_checked(every(MEASURE_PERIOD, lambda: step(self._background.measure))),
            )

    def _bind(self) -> Address:
        listen = self._config.listen
        port = self._server.add_insecure_port(str(listen))
        return Address(host=listen.host, port=port)

    async def _serve(self, stop: asyncio.Event, ended: asyncio.Event, on_ready: Callable[[], None]) -> None:
        checks = asyncio.create_task(self._check())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({checks, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if checks.done():
            checks.result()
            log.info("scheduler ready", scheduler=self._name)
            on_ready()
        checks.cancel()
        await stopped
        await self._drain()
        ended.set()

    async def _check(self) -> None:
        """Wait until the store answers, and find it fit."""
        config = self._config
        checks = Checks(self._clients[0], prefix(), config.durability, assume_durable=config.assume_durable)
        while not self._state.checked:
            try:
                self._durable.synced, warnings = await checks.run()
                await self._background.sweep()
            except StoreUnavailable as error:
                self._state.store_watch.failed(error)
                await asyncio.sleep(0.2)
                continue
            for warning in warnings:
                log.warning(warning, redis=shown(config.redis_url))
            self._state.checked = True
            self._checked.set()
        await self._show_health()

    async def _once_checked(self, part: Coroutine[Any, Any, None]) -> None:
        try:
            await self._checked.wait()
        except asyncio.CancelledError:
            part.close()
            raise
        await part

    async def _show_health(self) -> None:
        ready = self._state.not_ready() is None
        self._metrics.store_up.set(ready)
        await self._health.set(serving=ready)

    async def _drain(self) -> None:
        """Stop in this order: no new work is sent here, workers move, watchers resume elsewhere, then the server ends.

        Renewals are served until the streams have moved: a worker that cannot renew loses its leases.
        """
        self._state.draining = True
        await self._show_health()
        await self._leases.drain(self._config.drain.total_seconds())
        self._servicer.stop()
        await self._server.stop(CLOSE_SECONDS)


async def run(config: Config) -> int:
    """Run one scheduler; the exit code."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    try:
        await Scheduler(config).run(stop, _say_ready)
    except OSError as error:
        return _refuse(str(error))
    except RuntimeError as error:
        # grpc's word for a port it cannot bind.
        if "bind" not in str(error):
            raise
        return _refuse(str(error))
    except ExceptionGroup as group:
        unfit = group.subgroup(UnfitStore)
        if unfit is None:
            log.exception("scheduler failed")
            return 1
        return _refuse(str(unfit.exceptions[0]))
    return 0


def _say_ready(grpc: Address, metrics: Address) -> None:
    print(f"ready grpc={grpc} metrics={metrics}", flush=True)  # noqa: T201 - other tools read it


def _refuse(message: str) -> int:
    print(f"telecine-scheduler: {message}", file=sys.stderr)  # noqa: T201 - the reason not to start
    return 2
