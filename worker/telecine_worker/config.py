"""The worker's settings: one frozen value, made and checked once."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from telecine_process.addresses import Address
from telecine_worker.sandbox.selection import Wish
from telecine_worker.storage.address_guard import IpNetwork
from telecine_worker.storage.store_places import StorePlace

_QUEUE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_CAPABILITY = re.compile(r"[a-z0-9][a-z0-9._/-]{0,62}")
WORKER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

# As many as a Hello may hold.
MOST_QUEUES = 64
MOST_CAPABILITIES = 1024
# In a control group, where only what is used counts. Without one, all that is asked for counts, and an SVT-AV1 that gets too
# little of that hangs: 1 GiB is too little for 720p.
LEAST_MEMORY_BYTES, LEAST_DATA_BYTES = 256 << 20, 2 << 30


class ConfigError(ValueError):
    """A setting that cannot be; the message says which and what would be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a worker is told. An empty worker id, and no capabilities, are found by the worker itself. 0 for
    *memory_max_bytes* is no limit.
    """

    schedulers: tuple[Address, ...]
    worker_id: str
    slots: int
    queues: tuple[str, ...]
    capabilities: tuple[str, ...]
    file_roots: tuple[Path, ...]
    store_roots: tuple[StorePlace, ...]
    http_allow: tuple[IpNetwork, ...]
    input_max_bytes: int
    cache_bytes: int
    scratch_reserve_bytes: int
    output_max_bytes: int
    sandbox: Wish
    memory_max_bytes: int
    cgroups: tuple[Path, ...]
    work_dir: Path
    metrics_listen: Address
    ffmpeg: Path | None
    ffprobe: Path | None
    drain: timedelta

    def __post_init__(self) -> None:
        if not self.schedulers:
            raise ConfigError("TELECINE_SCHEDULERS must name at least one scheduler, as HOST:PORT")
        if not 1 <= self.slots <= 4096:
            raise ConfigError(f"TELECINE_SLOTS is {self.slots}; it must be 1 to 4096")
        if self.worker_id and not WORKER_ID.fullmatch(self.worker_id):
            raise ConfigError(
                f"TELECINE_WORKER_ID {self.worker_id!r} must be letters, digits, '.', '_', '-', at most 63"
            )
        if not self.queues:
            raise ConfigError("TELECINE_QUEUES must name at least one queue")
        _check_each("TELECINE_QUEUES", self.queues, _QUEUE, MOST_QUEUES)
        _check_each("TELECINE_CAPABILITIES", self.capabilities, _CAPABILITY, MOST_CAPABILITIES)
        for root in self.file_roots:
            if not root.is_absolute() or ".." in root.parts:
                raise ConfigError(f"TELECINE_FILE_ROOTS: {root} must be an absolute path without '..'")
        self._check_sizes()

    def _check_sizes(self) -> None:
        for name, value in (("INPUT", self.input_max_bytes), ("OUTPUT", self.output_max_bytes)):
            if value < 1:
                raise ConfigError(f"TELECINE_{name}_MAX_BYTES is {value}; it must be at least 1")
        for name, value in (("CACHE_BYTES", self.cache_bytes), ("SCRATCH_RESERVE_BYTES", self.scratch_reserve_bytes)):
            if value < 0:
                raise ConfigError(f"TELECINE_{name} is {value}; it must be at least 0, which is none")
        least, where = (LEAST_MEMORY_BYTES, "with") if self.cgroups else (LEAST_DATA_BYTES, "without")
        if self.memory_max_bytes and self.memory_max_bytes < least:
            right = f"0 (no limit) or, {where} TELECINE_CGROUPS, {least} and more are right"
            raise ConfigError(f"TELECINE_MEMORY_MAX_BYTES is {self.memory_max_bytes}; {right}")


def _check_each(setting: str, values: tuple[str, ...], pattern: re.Pattern[str], most: int) -> None:
    if len(values) > most:
        raise ConfigError(f"{setting} names {len(values)}; at most {most} are right")
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ConfigError(f"{setting} names {', '.join(twice)} more than once; each once is right")
    for value in values:
        if not pattern.fullmatch(value):
            raise ConfigError(f"{setting}: {value!r} does not match {pattern.pattern}")


def default_work_dir() -> Path:
    """$XDG_STATE_HOME/telecine/worker, or the same below ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "telecine" / "worker"


def split(text: str, separator: str = ",") -> tuple[str, ...]:
    """The parts of a list setting, without blanks."""
    return tuple(part.strip() for part in text.split(separator) if part.strip())
