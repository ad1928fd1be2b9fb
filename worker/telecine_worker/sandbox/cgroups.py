"""Control groups that the operator has handed over: memory and tasks of a child and all its threads (cgroups(7)).

Version 1 has a folder for each controller, version 2 one for all.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from pathlib import Path

from telecine_worker.sandbox.launcher import MOST_TASKS

_MEMORY = ("memory.max", "memory.limit_in_bytes")
# What is swapped out counts, too: version 1 has one limit for both, version 2 one for the rest.
_SWAP = (("memory.swap.max", 0), ("memory.memsw.limit_in_bytes", None))
_EVENTS = ("memory.events", "memory.oom_control")


class CgroupUnusable(Exception):
    """A folder is no control group in which this process may make others; the message says why."""


class Cgroup:
    """One child's groups, below *parents*. Made by :func:`make`."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    @property
    def doors(self) -> list[str]:
        """Files to which a process writes 0 to come in."""
        return [str(folder / "cgroup.procs") for folder in self._folders]

    @property
    def limits_memory(self) -> bool:
        """Whether the kernel looks at memory in one of them."""
        return any((folder / name).exists() for folder in self._folders for name in _MEMORY)

    def had_too_little_memory(self) -> bool:
        """Whether the kernel ended a process in it for want of memory."""
        for folder in self._folders:
            for name in _EVENTS:
                with contextlib.suppress(FileNotFoundError):
                    words = (folder / name).read_text().split()
                    if "oom_kill" in words and int(words[words.index("oom_kill") + 1]) > 0:
                        return True
        return False

    def remove(self) -> bool:
        """All processes have ended. False: one is still being taken apart, which nothing waits for."""
        gone = True
        for folder in self._folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                gone = False
        return gone


def make(parents: Sequence[str], name: str, most_memory_bytes: int | None) -> Cgroup:
    """A group *name* in each of *parents*, limited. Raises OSError."""
    folders = [Path(parent) / name for parent in parents]
    made = Cgroup(folders)
    try:
        for folder in folders:
            folder.mkdir(exist_ok=True)
            _limit(folder, most_memory_bytes)
    except OSError:
        made.remove()
        raise
    return made


def check(parents: Sequence[str], most_memory_bytes: int | None) -> None:
    """Enable what version 2 needs, remove what a killed worker left, and try. Raises CgroupUnusable, too, where no folder is
    of the memory that is to be limited.
    """
    limits_memory = False
    for parent in map(Path, parents):
        try:
            controllers = parent / "cgroup.controllers"
            if controllers.exists():
                wanted = {"memory", "pids"} & set(controllers.read_text().split())
                (parent / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(wanted)))
            _remove_dead(parent)
            trial = make([str(parent)], f"{os.getpid()}-trial", most_memory_bytes)
            limits_memory |= trial.limits_memory
            trial.remove()
        except OSError as error:
            words = "a control group without processes that this user may write to is right"
            raise CgroupUnusable(f"{parent} cannot be used: {error.strerror}; {words}") from error

    if most_memory_bytes is not None and not limits_memory:
        words = "one that has it, or TELECINE_MEMORY_MAX_BYTES=0, is right"
        raise CgroupUnusable(f"{':'.join(parents)} has no controller 'memory', which is to limit FFmpeg's; {words}")


def _limit(folder: Path, most_memory_bytes: int | None) -> None:
    _set(folder / "pids.max", MOST_TASKS)
    if most_memory_bytes is None:
        return
    for name in _MEMORY:
        _set(folder / name, most_memory_bytes)
    for name, value in _SWAP:
        _set(folder / name, most_memory_bytes if value is None else value)


def _set(file: Path, value: int) -> None:
    """Where the controller is there, and of this version."""
    if file.exists():
        file.write_text(str(value))


def _remove_dead(parent: Path) -> None:
    """Groups of workers that are no more: their names begin with a process id."""
    for child in parent.iterdir():
        pid = child.name.partition("-")[0]
        if child.is_dir() and pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(OSError):
                child.rmdir()
