"""What an acknowledgement waits for after the scripts have run: replicas, which Redis does not wait for by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# The longest that Redis waits for its replicas: twice it, behind another pipeline, is less than a caller waits.
WAIT_SECONDS = 1.5
# Redis 7.2 and Valkey wait for what this connection wrote last. A call that is repeated finds its work done and writes nothing:
# without a write of its own it would not wait for what another connection wrote, and nobody was told of.
MARK = b"#!lua flags=allow-oom\nreturn redis.call('HSET', KEYS[1], 'mark', '1')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """*synced*: until the write is on the replicas' disks; else until they have it. The server's own disk has it before."""

    synced: bool
    replicas: int

    def commands(self, prefix: str) -> list[tuple[Any, ...]]:
        """What has to follow the scripts in their pipeline; the last reply is for `short`."""
        milliseconds = round(WAIT_SECONDS * 1000)
        wait = ("WAITAOF", 1, self.replicas) if self.synced else ("WAIT", self.replicas)
        return [("EVAL", MARK, 1, f"{prefix}meta"), (*wait, milliseconds)]

    def short(self, reply: Any) -> str | None:
        """What the reply lacks, in words; None where it is enough."""
        local, replicas = reply if self.synced else (1, reply)
        if local < 1:
            return "Redis did not reach its disk in time"
        if replicas < self.replicas:
            return f"only {replicas} of {self.replicas} replicas of Redis confirmed the write in time"
        return None
