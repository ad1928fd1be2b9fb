"""What a job costs: CPU time of each process, and commands of Redis."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import redis

from bench.drivers.request import Request

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
SCRIPTS = ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_fcall")


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, in steps of 10 ms."""
    # The command's name, in brackets, may hold blanks.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Totals so far."""

    scheduler_seconds: float
    redis_seconds: float
    worker_seconds: float
    client_seconds: float
    # Commands include those that scripts call.
    commands: int
    scripts: int


class Meter:
    """Reads the totals of a round's processes. *worker_pid* may change on the way; 0: there is none."""

    def __init__(self, request: Request) -> None:
        self.worker_pid = request.worker_pid
        self._scheduler_pid = request.scheduler_pid
        self._redis = redis.Redis(unix_socket_path=request.redis)

    def read(self) -> Costs:
        """The totals now."""
        cpu, commands = self._redis.info("cpu"), self._redis.info("commandstats")
        return Costs(
            scheduler_seconds=cpu_seconds(self._scheduler_pid),
            redis_seconds=cpu["used_cpu_user"] + cpu["used_cpu_sys"],
            worker_seconds=cpu_seconds(self.worker_pid) if self.worker_pid else 0.0,
            client_seconds=time.process_time(),
            commands=sum(each["calls"] for each in commands.values()),
            scripts=sum(commands[name]["calls"] for name in SCRIPTS if name in commands),
        )

    def used_memory(self) -> int:
        """Bytes that Redis uses."""
        used: int = self._redis.info("memory")["used_memory"]
        return used


def per_job(name: str, before: Costs, after: Costs, jobs: int) -> dict[str, float]:
    """NAME_cost.WHAT for each of *jobs*; microseconds of CPU, counts."""
    each = max(jobs, 1)
    microseconds = {
        part: (getattr(after, f"{part}_seconds") - getattr(before, f"{part}_seconds")) * 1e6 / each
        for part in ("scheduler", "redis", "worker", "client")
    }
    return {
        **{f"{name}_cost.{part}_us": value for part, value in microseconds.items()},
        f"{name}_cost.redis_commands": (after.commands - before.commands) / each,
        f"{name}_cost.redis_scripts": (after.scripts - before.scripts) / each,
    }
