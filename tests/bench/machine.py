"""What the figures were measured on, and with."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from support.ffmpeg_under_test import toolchain_under_test
from support.redis_server import server_binary

PACKAGES = ("grpcio", "protobuf", "redis", "uvloop")


def facts() -> dict[str, object]:
    """Of the machine."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Of what both trees use."""
    return {
        "python": platform.python_version(),
        "redis_server": first_line([server_binary(), "--version"]),
        "ffmpeg": first_line([str(toolchain_under_test().ffmpeg), "-version"]),
        **{name: version(name) for name in PACKAGES},
    }


def first_line(command: list[str]) -> str:
    """Of what a program says."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()[0]


def busy_seconds() -> float:
    """CPU time that the whole machine has spent so far, over all cores."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """CPU time of this process and of every child that has ended."""
    return sum(os.times()[:4])
