"""What a confined child may use: file sizes, CPU time, memory, threads; by rlimits, and by control groups."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from support.confined import ALLOWANCE, begun, command, makes_namespaces, run
from support.ffmpeg_under_test import toolchain_under_test
from telecine_worker.ffmpeg import failure_kinds
from telecine_worker.ffmpeg.process import running
from telecine_worker.ffmpeg.stop_order import StopOrder
from telecine_worker.sandbox.confinement import Confinement, Limits, Mode
from telecine_worker.sandbox.selection import SandboxRefused, Wish, choose


async def test_a_file_has_a_largest_size(sandbox: Confinement, tmp_path: Path) -> None:
    """Beyond it a write fails, and the rest is not written."""
    limited = replace(sandbox, limits=Limits(most_file_bytes=1 << 20))
    script = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nopen('made', 'wb').write(bytes(2 << 20))"
    ended, _ = await run(limited, script, cwd=str(tmp_path))
    assert "File too large" in ended.log_tail
    assert 1 << 20 == (tmp_path / "made").stat().st_size


async def test_cpu_time_has_an_end(sandbox: Confinement) -> None:
    """Also where nobody looks any more: the kernel ends it."""
    ended, _ = await run(sandbox, "while True: pass", cpu_limit=timedelta(seconds=1))
    assert -9 == ended.code
    assert timedelta(seconds=0.5) < ended.usage.cpu < timedelta(seconds=3)


async def test_memory_has_an_end(sandbox: Confinement) -> None:
    """Without control groups: of the child's own data."""
    limited = replace(sandbox, limits=Limits(most_memory_bytes=200 << 20))
    ended, said = await run(limited, "data = bytes(100 << 20); print('some', flush=True); data += bytes(300 << 20)")
    assert (1, "some\n", True) == (ended.code, said, "MemoryError" in ended.log_tail)


MULTIPLYING = """
import _thread, os
forks = threads = 0
for _ in range(5000):
    try: child = os.fork()
    except OSError: continue
    if child == 0: os._exit(0)
    forks += 1
lock = _thread.allocate_lock()
lock.acquire()
while threads < 5000:
    try: _thread.start_new_thread(lock.acquire, ())
    except RuntimeError: break
    threads += 1
print(forks, threads)
os._exit(0)
"""
MOST_THREADS = 1024


async def test_a_program_multiplies_within_bounds(sandbox: Confinement) -> None:
    """No process at all. Threads by the memory of their stacks, where that has an end; for an ordinary user with Landlock
    by their number, which nobody else's counts into.
    """
    bounds = [Limits(most_memory_bytes=2 << 30)]
    if sandbox.mode is Mode.LANDLOCK and os.geteuid() != 0 and makes_namespaces():
        bounds.append(Limits())
    for limits in bounds:
        ended, said = await run(replace(sandbox, limits=limits), MULTIPLYING)
        forks, threads = map(int, said.split())
        assert (0, 0) == (ended.code, forks)
        assert 100 < threads <= MOST_THREADS


async def test_a_program_multiplies_within_its_control_group(sandbox: Confinement) -> None:
    """Whoever runs it, and however much memory there is."""
    with control_group("pids") as group:
        limits = Limits(cgroups=(group,))
        choose(Wish.OFF, programs=(), environment={}, limits=limits)
        _, said = await run(replace(sandbox, limits=limits), MULTIPLYING)
    forks, threads = map(int, said.split())
    assert 0 == forks
    assert 100 < threads <= MOST_THREADS


async def test_a_control_group_of_version_2_is_entered(sandbox: Confinement) -> None:
    """And gone with the child. One that cannot limit the memory that is to be limited is refused: nothing else would."""
    with control_group("", version=2) as group:
        limits = Limits(cgroups=(group,))
        choose(Wish.OFF, programs=(), environment={}, limits=limits)
        seen: list[str] = []
        output = bytearray()
        script = "import time\nprint('ready', flush=True)\ntime.sleep(600)"
        async with running(
            command(replace(sandbox, limits=limits), script), on_output=output.extend, stop=StopOrder()
        ) as child:
            await begun(child, output)
            seen += Path(f"/proc/{child.pid}/cgroup").read_text().splitlines()
            child.stop(timedelta(0))
            await asyncio.wait_for(child.wait(), ALLOWANCE)
        assert [True] == [f"/{Path(group).name}/" in line for line in seen if line.startswith("0::")]
        if "memory" not in Path(group, "cgroup.controllers").read_text().split():
            with pytest.raises(SandboxRefused, match=r"TELECINE_CGROUPS: .* has no controller 'memory'"):
                choose(
                    Wish.OFF, programs=(), environment={}, limits=Limits(cgroups=(group,), most_memory_bytes=1 << 30)
                )


@contextlib.contextmanager
def control_group(controller: str, *, version: int | None = None) -> Iterator[str]:
    """A control group that has *controller*, as an operator would make it; gone afterwards, and with nothing left in it.

    Of version 1 where the machine has that, unless *version* says otherwise.
    """
    places = [Path("/sys/fs/cgroup", name) for name in (controller, "unified", "")]
    if version != 2 and places[0].is_dir():
        place = places[0]
    else:
        found = [each for each in places[1:] if (each / "cgroup.controllers").exists()]
        if not found:
            pytest.skip("this machine has no such control groups")
        place = found[0]
    folder = place / f"telecine-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield str(folder)
        assert [] == [each for each in folder.iterdir() if each.is_dir()]
    finally:
        folder.rmdir()


@pytest.fixture
def cgroup() -> Iterator[str]:
    """For the memory of children."""
    with control_group("memory") as made:
        yield made


async def test_memory_has_an_end_in_a_control_group(sandbox: Confinement, cgroup: str) -> None:
    """The kernel ends it, and the failure says why; the group is gone with the child. One that needs less is left alone."""
    tools, limits = toolchain_under_test(), Limits(most_memory_bytes=128 << 20, cgroups=(cgroup,))
    choose(Wish.OFF, programs=(tools.ffmpeg,), environment={}, limits=limits)
    limited = replace(sandbox, limits=limits)
    ended, _ = await run(limited, "data = bytearray(b'x' * (512 << 20))")
    failure = failure_kinds.failure_of(ended, "encoding")
    assert failure is not None
    assert ("OUT_OF_MEMORY", -9) == (failure.failure.reason, ended.code)
    ended, _ = await run(limited, "data = bytearray(b'x' * (16 << 20))")
    assert (0, False) == (ended.code, ended.out_of_memory)


def test_control_groups_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    """At the start, naming the setting, the folder and what would be right."""
    limits = Limits(cgroups=(str(tmp_path / "nowhere"),))
    with pytest.raises(SandboxRefused, match=r"TELECINE_CGROUPS: .*nowhere cannot be used: .* is right"):
        choose(Wish.OFF, programs=(), environment={}, limits=limits)
