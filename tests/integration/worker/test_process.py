"""Child processes: drained, stopped as a group, always reaped, never orphaned."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from telecine_worker.ffmpeg.command import Command
from telecine_worker.ffmpeg.process import Exit, running
from telecine_worker.ffmpeg.program import peak_memory_bytes
from telecine_worker.ffmpeg.stop_order import StopOrder

LONG = timedelta(seconds=30)


def command(script: str, marker: str = "test") -> Command:
    """A Python child that runs *script*."""
    return Command(argv=(sys.executable, "-I", "-S", "-u", "-c", textwrap.dedent(script)), marker=marker)


async def run(script: str) -> tuple[Exit, bytes]:
    """Run *script* to its end; how it ended, and what it wrote."""
    output = bytearray()
    async with running(command(script), on_output=output.extend, stop=StopOrder()) as child:
        ended = await asyncio.wait_for(child.wait(), 20)
    return ended, bytes(output)


def processes(marker: str) -> list[int]:
    """Every live process whose environment holds *marker*."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TELECINE_ATTEMPT={marker}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def children() -> set[int]:
    """Of this process, those included that have ended and are not reaped."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until(condition: Callable[[], bool]) -> None:
    """Until *condition* holds, at most ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


class Heard:
    """Waits for a word on a child's standard output."""

    def __init__(self, word: bytes) -> None:
        self._word = word
        self._text = bytearray()
        self._there = asyncio.Event()

    def __call__(self, chunk: bytes) -> None:
        self._text.extend(chunk)
        if self._word in self._text:
            self._there.set()

    async def wait(self) -> str:
        """What was written up to now, with the word in it."""
        await asyncio.wait_for(self._there.wait(), 10)
        return self._text.decode()


async def test_an_end_is_reported_with_its_cost():
    """Exit code, output, log, CPU time and memory of a child that ends by itself."""
    ended, output = await run("""
        import sys, time
        data = b"x" * 50_000_000
        print("done"); print("said", file=sys.stderr)
        while time.process_time() < 0.2: pass
        sys.exit(3)
    """)
    assert (3, False, b"done\n", "said") == (ended.code, ended.stopped, output, ended.log_tail)
    assert timedelta(milliseconds=200) <= ended.usage.cpu < timedelta(seconds=2)
    assert 50_000_000 < ended.usage.peak_memory_bytes < 150_000_000


async def test_a_childs_memory_is_its_own():
    """What the worker holds does not count as the child's, as it would with wait4's maximum."""
    ballast = bytearray(os.urandom(1) * 200_000_000)
    ended, _ = await run("import time; print('x')\nwhile time.process_time() < 0.1: pass")
    assert 200_000_000 == len(ballast)
    assert 0 < ended.usage.peak_memory_bytes < 50_000_000


@pytest.mark.parametrize("call", ["pidfd_open", "set_blocking"])
async def test_a_child_that_cannot_be_watched_is_ended(monkeypatch, call):
    """Started, and then no descriptor was left (or a later step failed): the child is gone, and nothing is left open."""
    from telecine_worker.ffmpeg import process

    def fail(*_: object) -> None:
        raise OSError(24, "Too many open files")

    before, marker = (descriptors(), children()), f"unwatched-{call}-{os.getpid()}"
    monkeypatch.setattr(process.os, call, fail)
    with pytest.raises(OSError, match="Too many open files"):
        async with running(command("import time; time.sleep(60)", marker), on_output=print, stop=StopOrder()):
            raise AssertionError
    assert ([], *before) == (processes(marker), descriptors(), children())


async def test_the_environment_is_made_from_nothing(monkeypatch):
    """FFREPORT and the like never reach a child; standard input is empty."""
    monkeypatch.setenv("FFREPORT", "file=/tmp/evil")
    ended, output = await run("import os, sys; print(sorted(os.environ), repr(sys.stdin.read()))")
    assert 0 == ended.code
    assert "['HOME', 'LC_ALL', 'PATH', 'SVT_LOG', 'TELECINE_ATTEMPT'" == output.decode().split("]")[0]
    assert output.decode().strip().endswith("''")


async def test_a_child_is_confined():
    """A session of its own, no core dumps, few open files, lower priority."""
    _, output = await run("""
        import os, resource
        print(os.getsid(0) == os.getpid(), resource.getrlimit(resource.RLIMIT_CORE),
              resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= 256, os.nice(0) >= 10)
    """)
    assert "True (0, 0) True True\n" == output.decode()


async def test_a_child_begins_with_no_signal_ignored():
    """Python's own ignoring of SIGPIPE and SIGXFSZ ends with the launcher."""
    output = bytearray()
    status = Command(argv=("/bin/cat", "/proc/self/status"), marker="test")
    async with running(status, on_output=output.extend, stop=StopOrder()) as child:
        await child.wait()
    assert b"SigIgn:\t0000000000000000\n" in output


async def test_a_signal_that_was_not_ours_is_negative():
    """A child that is killed reports the signal, and that we did not do it."""
    ended, _ = await run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (-signal.SIGSEGV, False) == (ended.code, ended.stopped)


async def test_a_program_that_is_not_there_says_so():
    """The launcher's own failure has its exit code and a line that names it."""
    async with running(
        Command(argv=("/nonexistent/ffmpeg",), marker="test"), on_output=bytearray().extend, stop=StopOrder()
    ) as child:
        ended = await child.wait()
    assert (125, "telecine-launcher: /nonexistent/ffmpeg: No such file or directory") == (ended.code, ended.log_tail)


async def test_a_folder_is_the_childs_affair():
    """The worker does not go there to start it, which would keep all its threads for as long as a file system hangs."""
    for cwd, said in (("/nonexistent", "telecine-launcher: /nonexistent: No such file or directory"), ("/tmp", "/tmp")):
        argv = (sys.executable, "-I", "-S", "-c", "import os, sys; sys.exit(os.getcwd())")
        child = Command(argv=argv, marker="test", cwd=cwd)
        async with running(child, on_output=bytearray().extend, stop=StopOrder()) as started:
            ended = await started.wait()
        assert said == ended.log_tail


async def test_floods_on_both_pipes_are_drained_into_little_memory():
    """Eighty megabytes in long and short lines pass; first and last lines are kept, and how many are not is counted."""
    ended, output = await run("""
        import sys
        for number in range(4000):
            sys.stderr.write(f"line {number} " + "e" * 10_000 + "\\r")
            sys.stdout.write("o" * 10_000)
        sys.stderr.write("the end")
    """)
    assert 0 == ended.code
    assert 40_000_000 == len(output)
    assert ended.log_lines[0].startswith("line 0 ")
    assert "... 3781 lines left out ..." == ended.log_lines[20]
    assert "the end" == ended.log_lines[-1]
    assert sum(map(len, ended.log_lines)) < 500_000
    assert len(ended.log_tail.encode()) <= 8192


IGNORES_TERM = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready")
    time.sleep(60)
"""


async def test_a_child_that_ignores_sigterm_is_killed_after_the_grace():
    """SIGKILL comes no earlier than the grace and not much later."""
    heard, order = Heard(b"ready"), StopOrder()
    async with running(command(IGNORES_TERM), on_output=heard, stop=order) as child:
        await heard.wait()
        begun = time.monotonic()
        order.give(timedelta(milliseconds=300))
        ended = await asyncio.wait_for(child.wait(), 10)
    assert (-signal.SIGKILL, True) == (ended.code, ended.stopped)
    assert 0.3 <= time.monotonic() - begun < 2


async def test_a_shorter_grace_shortens_a_longer_one_never_the_reverse():
    """Lease lost after a friendly drain: the kill comes at once."""
    heard, order = Heard(b"ready"), StopOrder()
    async with running(command(IGNORES_TERM), on_output=heard, stop=order) as child:
        await heard.wait()
        order.give(LONG)
        order.give(timedelta(0))
        order.give(LONG)
        ended = await asyncio.wait_for(child.wait(), 5)
    assert -signal.SIGKILL == ended.code


async def test_a_longer_grace_does_not_put_off_the_kill():
    """Also where the process itself is told, as by the stall watch, and not by the order."""
    heard = Heard(b"ready")
    async with running(command(IGNORES_TERM), on_output=heard, stop=StopOrder()) as child:
        await heard.wait()
        child.stop(timedelta(milliseconds=100))
        child.stop(LONG)
        ended = await asyncio.wait_for(child.wait(), 5)
    assert -signal.SIGKILL == ended.code


async def test_a_stopped_child_is_woken_to_end():
    """A child under SIGSTOP acts on SIGTERM, because SIGCONT follows it."""
    heard, order = Heard(b"ready"), StopOrder()
    async with running(command("import time; print('ready'); time.sleep(60)"), on_output=heard, stop=order) as child:
        await heard.wait()
        os.kill(child.pid, signal.SIGSTOP)
        order.give(LONG)
        ended = await asyncio.wait_for(child.wait(), 5)
    assert -signal.SIGTERM == ended.code


async def test_an_order_given_before_the_start_stops_the_child():
    """No child slips through between the order and its start."""
    order = StopOrder()
    order.give(timedelta(seconds=1))
    async with running(command(IGNORES_TERM), on_output=bytearray().extend, stop=order) as child:
        ended = await asyncio.wait_for(child.wait(), 10)
    assert ended.stopped


GRANDCHILD = """
    import os, signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        print("ready", os.getpid())
    signal.pause()
"""


@pytest.mark.parametrize("end", ["by itself", "by order"])
async def test_grandchildren_end_with_their_group(end):
    """Whether the child ends by itself or is stopped: what it started is swept, though it holds the pipe and ignores
    SIGTERM.
    """
    marker = f"grandchild-{os.getpid()}-{end}"
    heard, order = Heard(b"ready "), StopOrder()
    async with running(command(GRANDCHILD, marker), on_output=heard, stop=order) as child:
        await heard.wait()
        found = processes(marker)
        assert 2 == len(found)
        if end == "by order":
            order.give(timedelta(milliseconds=50))
        else:
            os.kill(child.pid, signal.SIGUSR1)
        await asyncio.wait_for(child.wait(), 5)
    try:
        wait_until(lambda: not processes(marker))
    finally:
        for pid in processes(marker):
            os.kill(pid, signal.SIGKILL)


async def test_leaving_by_an_error_kills_and_reaps():
    """An exception on the way leaves no process, no zombie and no descriptor behind."""

    async def fail_inside() -> None:
        heard = Heard(b"ready")
        async with running(command(IGNORES_TERM, "error"), on_output=heard, stop=StopOrder()) as child:
            await heard.wait()
            raise LookupError(child.pid)

    before = descriptors()
    with pytest.raises(LookupError) as error:
        await fail_inside()
    assert not Path(f"/proc/{error.value.args[0]}").exists()
    assert before == descriptors()


async def test_a_process_that_is_gone_has_no_memory():
    """Looking at a number that belongs to nobody is not an error."""
    assert 0 == peak_memory_bytes(2**22 + 1)


OWNER = """
    import asyncio, sys
    from telecine_worker.ffmpeg.command import Command
    from telecine_worker.ffmpeg.process import running
    from telecine_worker.ffmpeg.stop_order import StopOrder

    async def main():
        # In one write: a second one after the owner's death would end the child by a broken pipe.
        script = "import os, time; os.write(1, b'ready'); time.sleep(600)"
        argv = (sys.executable, "-I", "-S", "-c", script)
        take = lambda chunk: print(chunk.decode(), flush=True)
        async with running(Command(argv=argv, marker=sys.argv[1]), on_output=take, stop=StopOrder()) as child:
            await child.wait()

    asyncio.run(main())
"""


def test_no_child_survives_a_worker_that_is_killed():
    """SIGKILL of the owner: the search that found its child before finds none."""
    marker = f"orphan-{os.getpid()}"
    owner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(OWNER), marker], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    try:
        assert b"ready\n" == owner.stdout.readline()
        assert 1 == len(processes(marker))
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()
    try:
        wait_until(lambda: not processes(marker))
    finally:
        for pid in processes(marker):
            os.kill(pid, signal.SIGKILL)


def test_the_launcher_refuses_when_the_worker_is_gone_already():
    """A child that is born after its worker's death never becomes FFmpeg."""
    from telecine_worker.sandbox import launcher

    argv = [sys.executable, "-I", "-S", launcher.__file__, "1", "/", "mode=off", "--", "/bin/true"]
    ran = subprocess.run(argv, capture_output=True, check=False)
    assert (125, b"telecine-launcher: the worker is gone\n") == (ran.returncode, ran.stderr)
