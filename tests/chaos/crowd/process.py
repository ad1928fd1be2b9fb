"""A crowd of scripted workers as a child of a fleet."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from chaos.rig.fleet import Fleet
from support.processes import Child

TESTS = Path(__file__).parents[2]


def crowd(
    fleet: Fleet, count: int, *, slots: int, queue: str = "default", progress_seconds: float = 0, name: str = "crowd"
) -> Child:
    """Not started; ready when all its workers have been welcomed. A second one of the same name takes the ids of the first."""
    argv = [
        sys.executable, "-P", "-m", "chaos.crowd", fleet.addresses, str(count), str(slots), queue,
        str(progress_seconds), f"{name}-", str(fleet.tools.history),
    ]  # fmt: skip
    paths = [str(TESTS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    child = Child(name=name, argv=argv, env=env, log=fleet.system.folder / f"{name}.log")
    fleet.system.children.append(child)
    return child
