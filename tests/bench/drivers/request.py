"""What a driver is told: where the servers of its round are, and how much to measure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self

from bench.sizes import Sizes


class Missing(Exception):
    """This revision cannot do what a figure measures; the message says what it lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One group of figures, on servers of its own. *worker* is 0 where none was started yet."""

    group: str
    sizes: Sizes
    # Of the scheduler.
    address: str
    # Unix socket of Redis.
    redis: str
    # A folder of this group's own; media is where the worker may read and write.
    folder: str
    media: str
    # The clip to encode, where there is one.
    clip: str
    ffmpeg: str
    # Process ids.
    scheduler_pid: int
    redis_pid: int
    worker_pid: int
    # How a worker of this revision is started: arguments and settings.
    worker_arguments: tuple[str, ...]
    worker_settings: dict[str, str]
    # Every other round goes through its figures the other way round.
    backwards: bool

    def to_json(self) -> str:
        """For the driver's standard input."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What :meth:`to_json` made."""
        fields = json.loads(text)
        return cls(
            **fields | {"sizes": Sizes(**fields["sizes"]), "worker_arguments": tuple(fields["worker_arguments"])}
        )
