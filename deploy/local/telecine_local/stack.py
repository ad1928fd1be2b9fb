"""Telecine on one machine: a database, a scheduler and workers as real processes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from telecine_local import valkey
from telecine_local.child import Child, Command
from telecine_local.member import Member
from telecine_local.places import Places

READY_WITHIN = timedelta(seconds=30)
# An append-only file of a few gigabytes takes that long to load.
DATABASE_READY_WITHIN = timedelta(minutes=5)
# After SIGTERM: what attempts may go on for before they are given back, and workers before they have to have moved.
DRAIN = timedelta(seconds=5)
DRAINING = ["--drain", f"{DRAIN.total_seconds():g}s"]
# A worker then ends its attempts, waits 5 s for acknowledgements and 2 s for the stream to close; a scheduler closes in 5 s.
# Whoever is killed before that is charged with a crash.
WORKER_GRACE = DRAIN + timedelta(seconds=20)
SCHEDULER_GRACE = DRAIN + timedelta(seconds=10)
DATABASE_GRACE = timedelta(seconds=10)
# Settings of one process, which several cannot share: ours are not our workers'.
NOT_SHARED = frozenset({"TELECINE_WORKER_ID", "TELECINE_WORK_DIR", "TELECINE_METRICS_LISTEN"})


async def no_settings() -> Mapping[str, str]:
    """Nothing."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the stack is made of."""

    listen: str
    """HOST:PORT of the scheduler; port 0 works."""
    metrics_listen: str
    workers: int
    slots: int
    file_roots: Sequence[Path]
    database: str
    """The server program."""
    scheduler: Sequence[str]
    worker: Sequence[str]
    """Programs with their first arguments."""
    logs: Path | None = None
    """A directory for the children's logs; None: our standard error."""
    worker_settings: Callable[[], Awaitable[Mapping[str, str]]] = no_settings
    """Finds out what workers are told besides, while the database and the scheduler start."""


def program(name: str) -> Sequence[str]:
    """One of our own programs: pip puts them beside the interpreter."""
    return [str(Path(sys.executable).with_name(name))]


class Stack:
    """Members in the order in which they need each other; stopped in the opposite order."""

    def __init__(self, setup: Setup, places: Places) -> None:
        self._setup = setup
        self._places = places
        self._listen = setup.listen
        self.metrics: dict[str, str] = {}
        """Address of /metrics by the member's name."""
        self._worker_settings: Mapping[str, str] = {}
        self.database = Member("valkey", self._database_command, self._database_ready, grace=DATABASE_GRACE)
        self.scheduler = Member("scheduler", self._scheduler_command, self._scheduler_ready, grace=SCHEDULER_GRACE)
        self.workers = [self._worker(number) for number in range(1, setup.workers + 1)]

    @property
    def address(self) -> str:
        """HOST:PORT of the scheduler; the real port once it is ready, and the same one after it was started again."""
        return self._listen

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """Everything is ready within, and gone after. Raises StartFailed.

        Members that die within are reported and started again. What is given does that: it goes on until it fails, and whoever
        depends on the members has to look at it.
        """
        keeping: asyncio.Task[None] | None = None
        asking = asyncio.ensure_future(self._setup.worker_settings())
        try:
            await self.database.start()
            await self.scheduler.start()
            self._worker_settings = await asking
            starts = await asyncio.gather(*(worker.start() for worker in self.workers), return_exceptions=True)
            for failure in filter(None, starts):
                raise failure
            keeping = asyncio.create_task(self._keep(), name="keeping the members running")
            yield keeping
        finally:
            for task in filter(None, (asking, keeping)):
                task.cancel()
                await asyncio.wait({task})
            await self._stop()

    async def _keep(self) -> None:
        async with asyncio.TaskGroup() as group:
            for member in self._members():
                group.create_task(member.keep())

    def kill(self) -> None:
        """End everything at once; what was acknowledged is safe."""
        for member in self._members():
            member.kill()

    def _members(self) -> Sequence[Member]:
        return [self.database, self.scheduler, *self.workers]

    async def _stop(self) -> None:
        # Workers first: they give back what they cannot finish, for which they need the scheduler; then the scheduler, which
        # writes that into the database.
        await asyncio.gather(*(worker.stop() for worker in self.workers))
        await self.scheduler.stop()
        await self.database.stop()

    def _log(self, name: str) -> Path | None:
        return self._setup.logs / f"{name}.log" if self._setup.logs else None

    def _database_command(self) -> Command:
        data = self._places.data / "valkey"
        data.mkdir(mode=0o700, exist_ok=True)
        log = self._log("valkey") or self._places.data / "valkey.log"
        argv = valkey.server_argv(self._setup.database, socket=self._places.socket, data=data, log=log)
        # It holds the lock too: no second database comes to the data before this one is gone.
        return Command(name="valkey", argv=argv, log=log, keep_open=(self._places.lock,))

    async def _database_ready(self, child: Child) -> None:
        await valkey.wait_until_ready(child, self._places.socket, within=DATABASE_READY_WITHIN)

    def _scheduler_command(self) -> Command:
        metrics = self.metrics.get("scheduler", self._setup.metrics_listen)
        return Command(
            name="scheduler",
            argv=[*self._setup.scheduler, "--listen", self._listen, "--metrics-listen", metrics, *DRAINING],
            environment={"TELECINE_REDIS_URL": f"unix://{quote(str(self._places.socket))}", "TELECINE_REFLECTION": "1"},
            log=self._log("scheduler"),
        )

    async def _scheduler_ready(self, child: Child) -> None:
        facts = await child.ready(within=READY_WITHIN)
        # A scheduler that is started again takes the same ports: workers and watchers come back to them.
        self._listen = facts["grpc"]
        self.metrics["scheduler"] = facts["metrics"]

    def _worker(self, number: int) -> Member:
        name = f"worker-{number}"

        def command() -> Command:
            return Command(
                name=name,
                argv=[*self._setup.worker, "--metrics-listen", "127.0.0.1:0", *DRAINING],
                without=NOT_SHARED,
                environment={
                    **self._worker_settings,
                    "TELECINE_SCHEDULERS": self._listen,
                    "TELECINE_SLOTS": str(self._setup.slots),
                    "TELECINE_FILE_ROOTS": ":".join(map(str, self._setup.file_roots)),
                    "TELECINE_WORK_DIR": str(self._places.data / name),
                },
                log=self._log(name),
            )

        async def ready(child: Child) -> None:
            self.metrics[name] = (await child.ready(within=READY_WITHIN))["metrics"]

        return Member(name, command, ready, grace=WORKER_GRACE)
