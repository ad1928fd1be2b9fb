"""Sandboxes for tests: of each mode that this machine can have, with Python in them, and what runs there."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from support.ffmpeg_under_test import confinement
from telecine_worker.ffmpeg.command import Command
from telecine_worker.ffmpeg.process import Exit, Process, running
from telecine_worker.ffmpeg.stop_order import StopOrder
from telecine_worker.sandbox.confinement import Confinement, Limits
from telecine_worker.sandbox.selection import SandboxRefused, Wish

MODES = ("bwrap", "landlock")
PYTHON = os.path.realpath(sys.executable)
ALLOWANCE = 10


def confined(mode: str, limits: Limits | None = None) -> Confinement:
    """What a worker would use in *mode*; skips the test, saying why, where this machine cannot have it."""
    try:
        found = confinement(Wish(mode))
    except SandboxRefused as error:
        if (_bubblewrap_works if mode == "bwrap" else _kernel_has_landlock)():
            pytest.fail(f"this machine can have {mode}, and it was refused: {error}")
        pytest.skip(str(error))
    return replace(found, limits=limits or Limits())


def with_python(found: Confinement) -> Confinement:
    """The same, in which this Python runs."""
    return replace(found, readable=(*found.readable, sys.base_prefix, PYTHON))


def _bubblewrap_works() -> bool:
    """By itself, without any code of ours."""
    bwrap = shutil.which("bwrap")
    if (
        bwrap is None
        or "--bind-fd" not in subprocess.run([bwrap, "--help"], capture_output=True, text=True, check=False).stdout
    ):
        return False
    ran = subprocess.run([bwrap, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "/bin/true"], check=False)
    return ran.returncode == 0


def _kernel_has_landlock() -> bool:
    """It answers the question for its version (landlock_create_ruleset)."""
    return int(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1))) >= 1


def makes_namespaces() -> bool:
    """Whether this user may make a network namespace, an ordinary one within a user namespace."""
    unshare = ["unshare", "--net", *(["--user"] if os.geteuid() != 0 else []), "true"]
    return subprocess.run(unshare, capture_output=True, check=False).returncode == 0


def command(sandbox: Confinement, script: str, **rest: object) -> Command:
    """A confined Python child that runs *script*."""
    argv = (PYTHON, "-I", "-S", "-u", "-c", textwrap.dedent(script))
    return Command(argv=argv, marker="sandbox", confinement=sandbox, **rest)  # type: ignore[arg-type]


async def run(sandbox: Confinement, script: str, **rest: object) -> tuple[Exit, str]:
    """To its end; how it ended, and what it wrote."""
    output = bytearray()
    async with running(command(sandbox, script, **rest), on_output=output.extend, stop=StopOrder()) as child:
        ended = await asyncio.wait_for(child.wait(), 20)
    return ended, output.decode()


async def begun(child: Process, output: bytearray) -> None:
    """It has said something."""
    async with asyncio.timeout(ALLOWANCE):
        while not output:
            await asyncio.sleep(0.005)
