"""What has to be true of a Redis before jobs are trusted to it."""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from redis import exceptions
from redis.asyncio import Redis

from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.store.keys import SCHEMA
from telecine_scheduler.store.link import ask, drop
from telecine_scheduler.store.waits import Wait

MIN_VERSION = (7, 0)
_REPLICA = re.compile(r"slave[0-9]+")


class Durability(enum.StrEnum):
    """What an acknowledgement survives."""

    MEMORY = "memory"
    EVERYSEC = "everysec"
    FSYNC = "fsync"
    QUORUM = "quorum"


class UnfitStore(Exception):
    """This Redis must not be used as it is set up; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A server was found fit: its identity, what acknowledgements have to wait for (None: nothing more), and warnings."""

    server: str
    wait: Wait | None = None
    warnings: tuple[str, ...] = ()


def identity(info: Mapping[str, Any]) -> str:
    """Which server this is, from its INFO: another one after a restart, and after it was a replica meanwhile."""
    return f"{info['run_id']}:{info.get('master_replid', '')}"


def forbidden(error: Exception) -> str:
    """Why a server is unfit that does not let us do what is needed."""
    return f"the user of TELECINE_REDIS_URL may not do all that is needed ({error}); give it ~telecine:* +@all"


class Checks:
    """Looks at the Redis of a partition, before jobs are trusted to it.

    Each look is through a new connection, and may find another server; *client* is for nothing else. *replicas* is what
    `quorum` wants; *partitions*, how many there are, is looked at where it is given. *located*: sentinels or a cluster say
    where the primary is, and may say it late.
    """

    def __init__(
        self, client: Redis, prefix: str, durability: Durability, *, assume_durable: bool, replicas: int = 1,
        partitions: int | None = None, located: bool = False,
    ) -> None:  # fmt: skip
        self._client = client
        self._prefix = prefix
        self._durability = durability
        self._assume_durable = assume_durable
        self._replicas = replicas
        self._partitions = partitions
        # Whether a server that is no primary is only not the one that is looked for.
        self._waits_for_primary = located

    async def run(self) -> Verdict:
        """Raises UnfitStore and StoreUnavailable."""
        await drop(self._client)
        info = await self._ask(lambda: self._client.info("everything"))
        self._check_version(info)
        self._check_role(info)
        self._check_eviction(info)
        await self._check_schema()
        await self._check_partitions()
        wait, warnings = await self._check_durability(info)
        self._waits_for_primary = True
        return Verdict(server=identity(info), wait=wait, warnings=tuple(warnings))

    async def _ask(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await ask(call, self._client)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, exceptions.NoPermissionError):
                raise UnfitStore(forbidden(error.__cause__)) from error
            raise

    def _check_version(self, info: dict[str, Any]) -> None:
        version = str(info.get("redis_version", "0"))
        if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
            raise UnfitStore(f"Redis {version} is too old; Redis 7.0 or Valkey 7.2 or newer is needed")

    def _check_role(self, info: dict[str, Any]) -> None:
        if info.get("role") == "master":
            return
        message = f"this Redis is a {info.get('role')}; connect to the primary"
        # In the middle of a failover it is no wonder.
        raise StoreUnavailable(message) if self._waits_for_primary else UnfitStore(message)

    def _check_eviction(self, info: dict[str, Any]) -> None:
        eviction = info.get("maxmemory_policy")
        if eviction != "noeviction":
            raise UnfitStore(
                f"maxmemory-policy is {eviction}: Redis could throw jobs away; set maxmemory-policy noeviction"
            )

    async def _check_schema(self) -> None:
        fresh = await self._meta("schema") is None
        if fresh and self._partitions is not None:
            # Before the schema, so that whoever finds one finds both.
            await self._set_meta("partitions", str(self._partitions))
        if fresh:
            # Only then: a server that is out of memory refuses writes, and must still be served.
            await self._set_meta("schema", SCHEMA)
        found = await self._meta("schema")
        if found != SCHEMA:
            raise UnfitStore(
                f"the data is of schema {found!r}, this scheduler knows {SCHEMA}; use a version that knows it"
            )

    async def _check_partitions(self) -> None:
        if self._partitions is None:
            return
        # Stores of before there were several have one.
        found = await self._meta("partitions") or "1"
        if found != str(self._partitions):
            raise UnfitStore(
                f"the data is in {found} partitions, and TELECINE_PARTITIONS is {self._partitions}: jobs would not be found "
                f"where they are; set TELECINE_PARTITIONS={found}, or begin with an empty store"
            )

    async def _meta(self, field: str) -> str | None:
        found = await self._ask(lambda: self._client.hget(f"{self._prefix}meta", field))
        return None if found is None else str(found.decode(errors="replace"))

    async def _set_meta(self, field: str, value: str) -> None:
        """Unless somebody did."""
        await self._ask(lambda: self._client.hsetnx(f"{self._prefix}meta", field, value))

    async def _check_durability(self, info: dict[str, Any]) -> tuple[Wait | None, list[str]]:
        if self._durability is Durability.MEMORY:
            return None, ["durability is memory: a crash of Redis loses jobs that were acknowledged"]
        if int(info.get("aof_enabled", 0)) != 1:
            raise UnfitStore(
                f"TELECINE_DURABILITY={self._durability} needs the append-only file, which is off; set appendonly yes, "
                "or say TELECINE_DURABILITY=memory to live without it"
            )
        if self._durability is Durability.EVERYSEC:
            return None, []
        warnings = await self._check_synced()
        if self._durability is Durability.FSYNC:
            return None, warnings
        wait, more = await self._check_quorum(info)
        return wait, [*warnings, *more]

    async def _check_synced(self) -> list[str]:
        """Every write has to be on disk before it is answered. WAITAOF does not see to that: with everysec, Valkey 9.1 answers
        it before it has synced.
        """
        appendfsync = await self._setting("appendfsync")
        if appendfsync == "always":
            return []
        if appendfsync is None and self._assume_durable:
            return ["appendfsync cannot be read; TELECINE_DURABILITY_ASSUME says it is always"]
        raise UnfitStore(
            f"TELECINE_DURABILITY={self._durability} needs appendfsync always (it is {appendfsync or 'not readable'}); set it, "
            "or say TELECINE_DURABILITY=everysec, or TELECINE_DURABILITY_ASSUME=1 where it cannot be read and you know that "
            "the service syncs every write"
        )

    async def _check_quorum(self, info: dict[str, Any]) -> tuple[Wait, list[str]]:
        online = sum(1 for name, value in info.items() if _REPLICA.fullmatch(name) and value.get("state") == "online")
        if online < self._replicas:
            raise UnfitStore(
                f"TELECINE_DURABILITY=quorum wants {self._replicas} replicas to confirm, and {online} are connected; connect "
                "more, or set TELECINE_QUORUM_REPLICAS"
            )
        warnings = []
        least = await self._setting("min-replicas-to-write")
        if not least or int(least) < 1:
            warnings.append(
                f"min-replicas-to-write is {least or 'not readable'}: a primary that was cut off takes writes that are lost; "
                "set it to 1 or more"
            )
        return await self._try_to_wait(), warnings

    async def _try_to_wait(self) -> Wait:
        """What this server can wait for, seen to come true. Replicas without a file never say that they have synced."""
        for synced in (True, False):
            wait = Wait(synced=synced, replicas=self._replicas)
            short: str | None = None
            # A replica that has just come may be silent about its file until it is written to once more.
            for _ in range(2):
                reply = await self._ask(lambda wait=wait: self._waited(wait))  # type: ignore[misc]
                if isinstance(reply, exceptions.ResponseError):
                    break
                short = wait.short(reply)
                if short is None:
                    return wait
            if short:
                raise UnfitStore(
                    f"TELECINE_DURABILITY=quorum cannot be kept: {short}; set appendonly yes at every replica, and see that "
                    "they keep up"
                )
        raise UnfitStore("TELECINE_DURABILITY=quorum needs a server that can WAIT for its replicas")

    async def _waited(self, wait: Wait) -> Any:
        """The reply of the server, which may be that it has no such command."""
        pipeline = self._client.pipeline(transaction=False)
        for command in wait.commands(self._prefix):
            pipeline.execute_command(*command)
        *_, reply = await pipeline.execute(raise_on_error=False)
        return reply

    async def _setting(self, name: str) -> str | None:
        """A setting, or None where a managed service does not let it be read."""
        try:
            return str((await self._ask(lambda: self._client.config_get(name)))[name])
        except (exceptions.ResponseError, UnfitStore, KeyError):
            return None
