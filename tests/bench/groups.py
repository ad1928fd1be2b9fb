"""One group of figures in one tree: servers of its own, a driver, and nothing left of either."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.drivers.request import Request
from bench.interrupts import Interrupts
from bench.machine import busy_seconds, own_seconds
from bench.sizes import Sizes
from bench.trees import Tree
from support.ffmpeg_under_test import toolchain_under_test
from support.processes import Child, System

# What an acknowledgement survives: the scheduler's word for it, and Redis'.
DURABILITIES = {"everysec": "everysec", "fsync": "always"}
LIMIT_SECONDS = 120.0
TAIL = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What is measured together. *durabilities*: under which it matters; *worker* has settings of a worker that runs."""

    name: str
    durabilities: tuple[str, ...]
    worker: dict[str, str] | None = None
    encodes: bool = False


BOTH, ONE = ("everysec", "fsync"), ("everysec",)
GROUPS = (
    Group(name="idle", durabilities=BOTH),
    Group(name="submit", durabilities=BOTH),
    Group(name="work", durabilities=BOTH),
    Group(name="watch", durabilities=ONE),
    Group(name="memory", durabilities=ONE, worker={"TELECINE_QUEUES": "another"}),
    Group(name="encode", durabilities=ONE, worker={}, encodes=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Values by name, and why some are missing."""

    values: dict[str, float]
    missing: dict[str, str]


class GroupFailed(Exception):
    """A driver or a server failed; what it said is in the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """How one round of a group is measured. Every other one goes *backwards*; *clip* is what is encoded."""

    durability: str
    sizes: Sizes
    clip: Path | None
    backwards: bool


def measure(group: Group, tree: Tree, how: Round, interrupts: Interrupts) -> Measured:
    """Start everything, measure, end everything. Raises GroupFailed."""
    began, busy, own = time.monotonic(), busy_seconds(), own_seconds()
    interrupted = False
    with interrupts.held(), System(appendfsync=DURABILITIES[how.durability], DURABILITY=how.durability) as system:
        request = prepare(group, tree, system, how)
        try:
            with interrupts.let_through():
                measured = drive(
                    tree, request, LIMIT_SECONDS + 8 * how.sizes.clip_seconds * how.sizes.pairs, interrupts
                )
        except KeyboardInterrupt:
            # Raised below: on its way through the system it would show every log.
            interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    # All children have ended: what is not ours was somebody else's.
    foreign = (busy_seconds() - busy - (own_seconds() - own)) / (time.monotonic() - began)
    measured.values["foreign_cores"] = max(0.0, foreign)
    return measured


def prepare(group: Group, tree: Tree, system: System, how: Round) -> Request:
    """Start the servers that *group* needs, all of *tree*."""
    scheduler = tree.take(system.scheduler(), "telecine_scheduler").start()
    address = scheduler.ready["grpc"]
    worker = system.worker(address, **(group.worker or {}))
    arguments, settings = worker.argv[1:], own_settings(worker)
    if group.worker is not None:
        tree.take(worker, "telecine_worker").start()
    source = ""
    if group.encodes and how.clip:
        source = str(system.media / how.clip.name)
        shutil.copyfile(how.clip, source)
    return Request(
        group=group.name, sizes=how.sizes, address=address, redis=str(system.redis.socket), folder=str(system.folder),
        media=str(system.media), clip=source, ffmpeg=str(toolchain_under_test().ffmpeg), scheduler_pid=scheduler.pid,
        redis_pid=system.redis.pid, worker_pid=worker.pid if worker.process else 0, worker_arguments=tuple(arguments),
        worker_settings=settings, backwards=how.backwards,
    )  # fmt: skip


def own_settings(child: Child) -> dict[str, str]:
    """The settings of ours that a process gets."""
    return {name: value for name, value in child.env.items() if name.startswith("TELECINE_")}


def drive(tree: Tree, request: Request, seconds: float, interrupts: Interrupts) -> Measured:
    """Run the driver in *tree*; it and what it started are gone afterwards. Raises GroupFailed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TELECINE_")}
    driver: subprocess.Popen[str] | None = None
    try:
        with interrupts.held():
            # A session of its own: Ctrl-C is for us, and we end it.
            driver = subprocess.Popen(
                tree.module("bench.drivers.main"), env=clean | tree.environment, cwd=request.folder, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        said, errors = driver.communicate(request.to_json(), timeout=seconds)
    except subprocess.TimeoutExpired as late:
        raise GroupFailed(f"{request.group} of {tree.name} took longer than {seconds:g} s") from late
    finally:
        if driver:
            end_session(driver)
    if driver.returncode != 0:
        raise GroupFailed(f"{request.group} of {tree.name} failed: {errors[-TAIL:]}")
    found: dict[str, Any] = json.loads(said)
    return Measured(values=found["values"], missing=found["missing"])


def end_session(leader: subprocess.Popen[str]) -> None:
    """End a process and its group, which is its alone."""
    try:
        os.killpg(leader.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        leader.wait()
