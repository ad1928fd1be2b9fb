"""The worker's settings: one frozen value, made and checked once."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from telecine_process.addresses import Address
from telecine_worker.storage.address_guard import IpNetwork

_QUEUE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_CAPABILITY = re.compile(r"[a-z0-9][a-z0-9._/-]{0,62}")
WORKER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

# As many as a Hello may hold.
MOST_QUEUES = 64
MOST_CAPABILITIES = 1024


class ConfigError(ValueError):
    """A setting that cannot be; the message says which and what would be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a worker is told. An empty worker id, and no capabilities, are found by the worker itself."""

    schedulers: tuple[Address, ...]
    worker_id: str
    slots: int
    queues: tuple[str, ...]
    capabilities: tuple[str, ...]
    file_roots: tuple[Path, ...]
    http_allow: tuple[IpNetwork, ...]
    input_max_bytes: int
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
        if self.input_max_bytes < 1:
            raise ConfigError(f"TELECINE_INPUT_MAX_BYTES is {self.input_max_bytes}; it must be at least 1")


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
