"""Builds the worker and runs it: the only place that knows every part."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import NoReturn

import structlog
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry

from telecine_process.addresses import Address
from telecine_process.endpoint import Endpoint
from telecine_process.loop_watch import LoopWatch
from telecine_process.parts import every, run_until, stop_on_signals
from telecine_worker import convert
from telecine_worker.attempt import Attempt
from telecine_worker.condition import Condition
from telecine_worker.config import Config
from telecine_worker.disk_guard import DiskGuard
from telecine_worker.ffmpeg.toolchain import Toolchain
from telecine_worker.health import PERIOD, ailment_of, broken_program
from telecine_worker.holdings import Holdings
from telecine_worker.journal import Journal
from telecine_worker.lease_stream import Introduction, LeaseStream
from telecine_worker.metrics import WorkerMetrics
from telecine_worker.sandbox.confinement import Mode
from telecine_worker.storage.address_guard import AddressGuard
from telecine_worker.storage.destinations import Destinations
from telecine_worker.storage.http_exchange import Network
from telecine_worker.storage.input_cache import InputCache
from telecine_worker.storage.locations import FileRoots
from telecine_worker.storage.object_store import ObjectStores
from telecine_worker.storage.sources import Intake
from telecine_worker.storage.store_client import StoreSettingsRefused
from telecine_worker.storage.store_places import StoreRoots
from telecine_worker.storage.threads import Threads
from telecine_worker.tasks.capabilities import capabilities, kinds_of, lacks
from telecine_worker.work_dir import WorkDir, WorkDirBusy

log = structlog.get_logger(__name__)

# From where attempts are returned until the process goes on ending. With the default of TELECINE_DRAIN, and closing the
# stream, less than the 30 s that Kubernetes gives.
ENDING = timedelta(seconds=7)
# An attempt uses one thread at a time; with a few more nobody waits while one is handed on.
SPARE_THREADS = 4
# Exit codes.
CRASHED, REFUSED = 1, 2


class Refused(Exception):
    """No scheduler will ever take this worker as it is; starting it again would not help."""


class Worker:
    """One worker process."""

    def __init__(self, config: Config, toolchain: Toolchain, work_dir: WorkDir) -> None:
        self._config = config
        self._refusal: str | None = None
        self._worker_id = config.worker_id or work_dir.worker_id()
        self.registry = CollectorRegistry()
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            self.registry.register(collector)
        metrics = WorkerMetrics(self.registry, slots=config.slots, ffmpeg=toolchain.ffmpeg_version.text)
        self._sandbox = toolchain.confinement.mode
        metrics.show_sandbox(self._sandbox)
        if self._sandbox is Mode.OFF:
            log.warning("FFmpeg is not confined")
        self._journal = Journal(work_dir.journal)
        self._journal.load()
        self._threads = Threads(config.slots + SPARE_THREADS)
        introduction = Introduction(
            worker_id=self._worker_id, session_id=uuid.uuid4().hex, version=version("telecine"), slots=config.slots,
            queues=config.queues, capabilities=_offered(config, toolchain),
        )  # fmt: skip
        self._stream = LeaseStream(introduction, config.schedulers, metrics)
        roots = FileRoots(config.file_roots)
        self._stores = ObjectStores(roots=StoreRoots(config.store_roots))
        self._stores.check()
        cache = InputCache(work_dir.emptied("cache"), config.cache_bytes, on_look=metrics.count_look)
        metrics.cache_bytes.set_function(lambda: cache.kept_bytes)
        intake = Intake(
            roots=roots, network=Network(guard=AddressGuard(config.http_allow)), stores=self._stores,
            directory=config.work_dir, max_bytes=config.input_max_bytes,
            cache=cache,
        )  # fmt: skip
        destinations = Destinations(roots=roots, stores=self._stores, directory=work_dir.emptied("outputs"))
        attempts = partial(
            Attempt, toolchain=toolchain, destinations=destinations, intake=intake, threads=self._threads,
            on_input=metrics.count_input, check_success=convert.check_size,
        )  # fmt: skip
        self._condition = Condition(
            partial(ailment_of, config.work_dir, toolchain), partial(broken_program, toolchain), self._threads
        )
        self._disk = DiskGuard(
            config.work_dir, destinations=destinations, cache=cache, threads=self._threads,
            reserve_bytes=config.scratch_reserve_bytes,
        )  # fmt: skip
        self._holdings = Holdings(
            slots=config.slots, offered=kinds_of(toolchain), attempts=attempts, journal=self._journal,
            condition=self._condition, disk=self._disk, metrics=metrics, send=self._stream.send,
        )  # fmt: skip

    async def run(self) -> None:
        """Work until SIGTERM or Ctrl-C, or until no scheduler will ever take this worker: then Refused is raised."""
        stop, hurry, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        stop_on_signals(stop, hurry)
        listen, condition = self._config.metrics_listen, self._condition
        with Endpoint(listen, self.registry, self._not_ready, lambda: condition.ailment) as endpoint:
            await run_until(
                ended,
                serve=self._serve(stop, hurry, ended, endpoint.address),
                attempts=self._holdings.run(),
                stream=self._stream.run(self._holdings),
                renewals=self._stream.tick(self._holdings),
                health=every(PERIOD, self._condition.step),
                disk=every(PERIOD, self._disk.step),
            )
        self._threads.close()
        self._stores.close()
        self._journal.close()
        if self._refusal:
            raise Refused(self._refusal)

    def _not_ready(self) -> str | None:
        if self._holdings.draining:
            return "stopping"
        if self._condition.ailment:
            return self._condition.ailment
        if self._disk.shortage:
            return self._disk.shortage
        return None if self._stream.connected.is_set() else "no scheduler is connected"

    async def _serve(self, stop: asyncio.Event, hurry: asyncio.Event, ended: asyncio.Event, metrics: Address) -> None:
        stopped = asyncio.create_task(stop.wait())
        connected = asyncio.create_task(self._stream.connected.wait())
        refused = asyncio.create_task(self._stream.refused.wait())
        await asyncio.wait({stopped, connected, refused}, return_when=asyncio.FIRST_COMPLETED)
        if connected.done():
            log.info("worker ready", worker=self._worker_id, metrics=str(metrics), sandbox=self._sandbox.value)
            print(f"ready worker={self._worker_id} metrics={metrics}", flush=True)  # noqa: T201 - other tools read it
        connected.cancel()
        await asyncio.wait({stopped, refused}, return_when=asyncio.FIRST_COMPLETED)
        if refused.done() and not stopped.done():
            # Nobody renews or publishes any more what is held: it goes back, which the journal keeps for a next life.
            self._refusal = self._stream.refusal
            log.error("no scheduler takes this worker, which ends", why=self._refusal)
            hurry.set()
        for waiting in (stopped, refused):
            waiting.cancel()
        # Renewals go on to the very end of this: a worker that falls silent before its last outcome loses the lease.
        all_ended = await self._holdings.drain(self._config.drain, ENDING, hurry)
        await self._stream.finish()
        if not all_ended:
            _leave("an attempt", self._exit_code)
        if self._condition.hangs or not await self._journal.settle():
            _leave("a file system", self._exit_code)
        ended.set()

    @property
    def _exit_code(self) -> int:
        return REFUSED if self._refusal else CRASHED


def _offered(config: Config, toolchain: Toolchain) -> tuple[str, ...]:
    """What FFmpeg can do, and what the operator says besides."""
    for kind, lacking in lacks(toolchain).items():
        if lacking:
            log.warning("task is not offered", task=kind, ffmpeg=str(toolchain.ffmpeg), lacking=sorted(lacking))
    stores = (f"storage/{root.scheme}" for root in config.store_roots)
    sandbox = toolchain.confinement.mode.labels
    return tuple(sorted({*capabilities(toolchain), *stores, *sandbox, *config.capabilities}))


async def run(config: Config, toolchain: Toolchain) -> int:
    """Run one worker; the exit code."""
    with ExitStack() as stack:
        try:
            work_dir = stack.enter_context(WorkDir(config.work_dir))
            worker = Worker(config, toolchain, work_dir)
            stack.enter_context(LoopWatch(worker.registry))
            await worker.run()
        except (Refused, StoreSettingsRefused, WorkDirBusy, OSError) as error:
            return _refuse(str(error))
        except Exception:
            log.exception("worker crashed")
            return CRASHED
    return 0


def _leave(what: str, exit_code: int) -> NoReturn:
    """End at once. A thread that hangs in a file system cannot be ended, and the interpreter would wait for it; the
    lease runs out, and FFmpeg dies with us.
    """
    log.error("worker ends with something that hangs", what=what)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _refuse(message: str) -> int:
    print(f"telecine-worker: {message}", file=sys.stderr)  # noqa: T201 - the reason not to go on
    return REFUSED
