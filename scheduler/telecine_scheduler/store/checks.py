"""What has to be true of a Redis before jobs are trusted to it."""

from __future__ import annotations

import enum
from typing import Any

from redis import exceptions
from redis.asyncio import Redis

from telecine_scheduler.store.keys import SCHEMA
from telecine_scheduler.store.link import ask

MIN_VERSION = (7, 0)


class Durability(enum.StrEnum):
    """What an acknowledgement survives."""

    MEMORY = "memory"
    EVERYSEC = "everysec"
    FSYNC = "fsync"
    QUORUM = "quorum"


class UnfitStore(Exception):
    """This Redis must not be used as it is set up; the message says what to change."""


class Checks:
    """Looks at a Redis once, before the scheduler serves."""

    def __init__(self, client: Redis, prefix: str, durability: Durability, *, assume_durable: bool) -> None:
        self._client = client
        self._prefix = prefix
        self._durability = durability
        self._assume_durable = assume_durable

    async def run(self) -> tuple[bool, list[str]]:
        """Whether acknowledgements have to wait for WAITAOF, and warnings. Raises UnfitStore and StoreUnavailable."""
        if self._durability is Durability.QUORUM:
            raise UnfitStore("TELECINE_DURABILITY=quorum is not there yet; use fsync")
        info = await ask(lambda: self._client.info("everything"), self._client)
        self._check_version(info)
        self._check_eviction(info)
        await self._check_schema()
        return await self._check_durability(info)

    def _check_version(self, info: dict[str, Any]) -> None:
        version = str(info.get("redis_version", "0"))
        if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
            raise UnfitStore(f"Redis {version} is too old; Redis 7.0 or Valkey 7.2 or newer is needed")
        if info.get("role") != "master":
            raise UnfitStore(f"this Redis is a {info.get('role')}; connect to the primary")

    def _check_eviction(self, info: dict[str, Any]) -> None:
        eviction = info.get("maxmemory_policy")
        if eviction != "noeviction":
            raise UnfitStore(
                f"maxmemory-policy is {eviction}: Redis could throw jobs away; set maxmemory-policy noeviction"
            )

    async def _check_schema(self) -> None:
        key = f"{self._prefix}meta"
        found = await ask(lambda: self._client.hget(key, "schema"), self._client)
        if found is None:
            # Only then: a server that is out of memory refuses writes, and must still be served.
            await ask(lambda: self._client.hsetnx(key, "schema", SCHEMA), self._client)
            found = await ask(lambda: self._client.hget(key, "schema"), self._client)
        if found is None or found.decode() != SCHEMA:
            raise UnfitStore(
                f"the data is of schema {found!r}, this scheduler knows {SCHEMA}; use a version that knows it"
            )

    async def _check_durability(self, info: dict[str, Any]) -> tuple[bool, list[str]]:
        if self._durability is Durability.MEMORY:
            return False, ["durability is memory: a crash of Redis loses jobs that were acknowledged"]
        if int(info.get("aof_enabled", 0)) != 1:
            raise UnfitStore(
                f"TELECINE_DURABILITY={self._durability} needs the append-only file, which is off; set appendonly yes, "
                "or say TELECINE_DURABILITY=memory to live without it"
            )
        if self._durability is Durability.EVERYSEC:
            return False, []
        appendfsync = await self._appendfsync()
        if appendfsync == "always":
            return False, []
        if await self._has_waitaof():
            slow = "acknowledgements wait for WAITAOF, 0.1 to 0.2 s each; appendfsync always is faster"
            return True, [f"appendfsync is {appendfsync or 'not readable'}: {slow}"]
        if self._assume_durable:
            return False, ["appendfsync cannot be read; TELECINE_DURABILITY_ASSUME says it is always"]
        raise UnfitStore(
            f"TELECINE_DURABILITY=fsync needs appendfsync always (it is {appendfsync or 'not readable'}) or a server with "
            "WAITAOF (Redis 7.2, Valkey); set it, or say TELECINE_DURABILITY=everysec, or TELECINE_DURABILITY_ASSUME=1 where "
            "you know that the service syncs every write"
        )

    async def _appendfsync(self) -> str | None:
        """The setting, or None where a managed service does not let it be read."""
        try:
            return str((await ask(lambda: self._client.config_get("appendfsync"), self._client))["appendfsync"])
        except exceptions.ResponseError:
            return None

    async def _has_waitaof(self) -> bool:
        try:
            await ask(lambda: self._client.waitaof(0, 0, 100), self._client)
        except exceptions.ResponseError:
            return False
        return True
