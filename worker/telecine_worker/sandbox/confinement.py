"""How child processes are confined, as a value, and the words by which the launcher is told.

The launcher is a process of its own that imports nothing of ours but this folder: what it has to know stands in its
arguments.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Mode(enum.StrEnum):
    """What confines a child, strongest first. *BWRAP*: namespaces of its own and a file system of what it needs.
    *LANDLOCK*: the machine's file system with rules, and a network namespace where one is to be had. Both with a filter of
    system calls. *OFF*: nothing.
    """

    BWRAP = "bwrap"
    LANDLOCK = "landlock"
    OFF = "off"

    @property
    def labels(self) -> Sequence[str]:
        """What a worker offers with it: sandbox/MODE for it and every weaker one, so that a job can ask for a minimum."""
        strongest_first = list(Mode)[:-1]
        return (
            [f"sandbox/{mode}" for mode in strongest_first[strongest_first.index(self) :]]
            if self is not Mode.OFF
            else []
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one child. A file that it writes has at most *most_file_bytes*; its memory, in all, is at most *most_memory_bytes*:
    of a control group below *cgroups*, or, without them, of its own data. None: no limit.
    """

    most_file_bytes: int | None = None
    most_memory_bytes: int | None = None
    cgroups: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """For every child of a worker. *bwrap* is the path of bubblewrap. *readable* is what a child may read and run besides
    its inputs, *devices* what it may use.
    """

    mode: Mode
    bwrap: str = ""
    readable: Sequence[str] = ()
    devices: Sequence[str] = ()
    limits: Limits = Limits()


NONE = Confinement(mode=Mode.OFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One start. *folder* is where the program works, and, other than "/", where alone it may write. *inputs* are
    descriptors that it may read. *info_fd* is where bubblewrap says which process the program is. *doors* are those of
    control groups.
    """

    worker_pid: int
    folder: str
    confinement: Confinement = NONE
    inputs: Sequence[int] = ()
    cpu_seconds: int | None = None
    info_fd: int | None = None
    doors: Sequence[str] = ()
    argv: Sequence[str]

    def arguments(self) -> list[str]:
        """What the launcher is started with."""
        given, limits = self.confinement, self.confinement.limits
        numbers = {
            "cpu": self.cpu_seconds, "file": limits.most_file_bytes, "info": self.info_fd,
            "memory": None if limits.cgroups else limits.most_memory_bytes,
        }  # fmt: skip
        words = [f"mode={given.mode}", f"bwrap={given.bwrap}"]
        words += [f"{name}={value}" for name, value in numbers.items() if value is not None]
        words += [f"input={fd}" for fd in self.inputs]
        words += [f"read={path}" for path in given.readable]
        words += [f"device={path}" for path in given.devices]
        words += [f"cgroup={path}" for path in self.doors]
        return [str(self.worker_pid), self.folder, *words, "--", *self.argv]
