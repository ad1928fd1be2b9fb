"""Builds the scheduler and runs it: the only place that knows every part."""

from __future__ import annotations

import asyncio
import functools
import socket
import sys
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import structlog
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry
from redis.asyncio import Redis

from telecine_process.addresses import Address
from telecine_process.endpoint import Endpoint
from telecine_process.loop_watch import LoopWatch
from telecine_process.parts import every, run_until, stop_on_signals
from telecine_scheduler.config import Config
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.readiness import Readiness
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
from telecine_scheduler.service.auditor import Auditor
from telecine_scheduler.service.background import Background
from telecine_scheduler.service.broken_records import BrokenRecords
from telecine_scheduler.service.directory import WorkerDirectory
from telecine_scheduler.service.leasing import Leasing
from telecine_scheduler.service.submission import Submitting
from telecine_scheduler.service.watch_sets import WatchSets
from telecine_scheduler.service.watching import Watching
from telecine_scheduler.store.checks import Checks, UnfitStore
from telecine_scheduler.store.classes import ClassTable
from telecine_scheduler.store.dialing import Greet
from telecine_scheduler.store.feed import Feed, WakeUps
from telecine_scheduler.store.fitness import Fitness
from telecine_scheduler.store.job_store import JobStore
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.lane import Lane
from telecine_scheduler.store.link import close, connect, shown
from telecine_scheduler.store.partition import Partition, Partitions
from telecine_scheduler.store.routed_store import RoutedStore
from telecine_scheduler.store.servers import Kind, parse_servers
from telecine_scheduler.store.store_watch import StoreWatch

log = structlog.get_logger(__name__)

SWEEP_PERIOD = timedelta(milliseconds=250)
POLL_PERIOD = timedelta(seconds=1)
MEASURE_PERIOD = timedelta(seconds=2)
AT_ONCE = timedelta()
CLOSE_SECONDS = 5.0

# Called with the addresses of gRPC and of the metrics.
OnReady = Callable[[Address, Address], None]


class Scheduler:
    """One scheduler process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._name = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self.registry = CollectorRegistry()
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            self.registry.register(collector)
        self._metrics = SchedulerMetrics(self.registry)
        self._clients: list[Redis] = []
        self._partitions = Partitions([self._partition(number) for number in range(config.partitions)])
        self._leasing = Leasing(self._partitions, self._metrics)
        store = self._leasing.store
        self._directory = WorkerDirectory(self._partitions, store, self._leasing)
        self._watching = Watching(self._partitions, store)
        broken = BrokenRecords(self._metrics)
        watch_sets = WatchSets(self._partitions, store, self._watching, broken)
        self._background = Background(
            partitions=self._partitions, leasing=self._leasing, directory=self._directory, watching=self._watching,
            watch_sets=watch_sets, metrics=self._metrics,
        )  # fmt: skip
        self._auditor = Auditor(self._metrics)
        self._readiness = Readiness(self._partitions, self._background.sweep, shown(config.redis_url))
        self._health = Health()
        validation = Validation()
        self._leases = LeaseServicer(self._leasing, config.times, self._metrics, validation, self._name)
        self._servicer = self._build_servicer(store, watch_sets, validation, broken)
        self._server = build_server(
            self._servicer, self._leases, self._health,
            CallInterceptor(RpcMetrics(self.registry), self._readiness.gate), reflect=config.reflection,
        )  # fmt: skip

    def _partition(self, number: int) -> Partition:
        config, key, observe = self._config, prefix(number), self._metrics.observe_round_trip
        checks = Checks(
            self._client(key), key, config.durability, assume_durable=config.assume_durable, replicas=config.quorum_replicas,
            partitions=config.partitions, located=parse_servers(config.redis_url).kind is not Kind.ONE,
        )  # fmt: skip
        fitness = Fitness(checks, key, config.times.ttl)
        durable = Lane("durable", self._client(key, fitness.greet), key, observe, wait=lambda: fitness.wait)
        fast = Lane("fast", self._client(key, fitness.greet), key, observe)
        durable.pair_with(fast)
        store = JobStore(
            durable=durable, fast=fast, scheduler=self._name, times=config.times, admission=config.admission,
            endings=endings(config.times),
        )  # fmt: skip
        return Partition(
            number=number, durable=durable, fast=fast, store=store, classes=ClassTable(fast),
            feed=Feed(self._client(key, fitness.greet), key),
            wake_ups=WakeUps(self._client(key, fitness.greet), key, self._name), fitness=fitness, watch=StoreWatch(number),
        )  # fmt: skip

    def _client(self, key: str, greet: Greet | None = None) -> Redis:
        client = connect(self._config.redis_url, key, greet=greet)
        self._clients.append(client)
        return client

    def _build_servicer(
        self, store: RoutedStore, watch_sets: WatchSets, validation: Validation, broken: BrokenRecords
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

    async def run(self, stop: asyncio.Event, on_ready: OnReady) -> None:
        """Serve until *stop*. Raises UnfitStore, in a group, where the store must not be used."""
        ended = asyncio.Event()
        async with AsyncExitStack() as stack:
            for client in self._clients:
                stack.push_async_callback(close, client)
            endpoint = Endpoint(self._config.metrics_listen, self.registry, self._readiness.not_ready)
            stack.enter_context(endpoint)
            address = self._bind()
            await self._health.set(serving=False)
            await self._server.start()
            stack.push_async_callback(self._server.stop, 0)
            patiently = self._background.patiently
            # The lanes end last, because everything else answers through them.
            await run_until(
                ended,
                serve=self._serve(stop, ended, lambda: on_ready(address, endpoint.address)),
                health=every(SWEEP_PERIOD, self._show_health),
                beat=_after(self._readiness.begun, every(AT_ONCE, lambda: patiently(self._directory.beat))),
                measure=_after(
                    self._readiness.begun, every(MEASURE_PERIOD, lambda: patiently(self._background.measure))
                ),
                **{name: part for partition in self._partitions for name, part in self._parts(partition)},
            )

    def _parts(self, partition: Partition) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What runs for a partition: one that is away stops none of the others."""
        number, step, checked = partition.number, self._background.steadily, partition.checked
        yield f"durable {number}", partition.durable.run()
        yield f"fast {number}", partition.fast.run()
        yield f"check {number}", self._readiness.go_on(partition)
        for name, period, what in (
            ("sweep", SWEEP_PERIOD, self._background.sweep),
            ("follow", AT_ONCE, self._background.follow),
            ("listen", AT_ONCE, self._leasing.listen),
            ("poll", POLL_PERIOD, self._leasing.poll),
            ("audit", AT_ONCE, self._auditor.step),
        ):
            yield f"{name} {number}", _after(checked, every(period, functools.partial(step, partition, what)))

    def _bind(self) -> Address:
        listen = self._config.listen
        port = self._server.add_insecure_port(str(listen))
        return Address(host=listen.host, port=port)

    async def _serve(self, stop: asyncio.Event, ended: asyncio.Event, on_ready: Callable[[], None]) -> None:
        begin = asyncio.create_task(self._readiness.begin())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({begin, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if begin.done():
            begin.result()
            await self._show_health()
            log.info("scheduler ready", scheduler=self._name)
            on_ready()
        begin.cancel()
        await stopped
        await self._drain()
        ended.set()

    async def _show_health(self) -> None:
        for partition in self._partitions:
            self._metrics.store_up.labels(str(partition.number)).set(partition.serving)
        await self._health.set(serving=self._readiness.not_ready() is None)

    async def _drain(self) -> None:
        """Stop in this order: no new work is sent here, workers move, watchers resume elsewhere, then the server ends.

        Renewals are served until the streams have moved: a worker that cannot renew loses its leases.
        """
        self._readiness.draining = True
        await self._show_health()
        await self._leases.drain(self._config.drain.total_seconds())
        self._servicer.stop()
        await self._server.stop(CLOSE_SECONDS)


async def _after(event: asyncio.Event, part: Coroutine[Any, Any, None]) -> None:
    """A part that begins when *event* is set."""
    try:
        await event.wait()
    except asyncio.CancelledError:
        part.close()
        raise
    await part


async def run(config: Config) -> int:
    """Run one scheduler; the exit code."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    try:
        scheduler = Scheduler(config)
        with LoopWatch(scheduler.registry):
            await scheduler.run(stop, _say_ready)
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
