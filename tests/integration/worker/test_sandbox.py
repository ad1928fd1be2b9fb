"""What confines child processes: that it holds, that a child in it is watched and ended as any other, and its limits."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from support.confined import ALLOWANCE, MODES, begun, command, confined, makes_namespaces, run, with_python
from support.ffmpeg_under_test import toolchain_under_test
from telecine_worker.ffmpeg import failure_kinds
from telecine_worker.ffmpeg.command import environment
from telecine_worker.ffmpeg.limits import activity
from telecine_worker.ffmpeg.process import running
from telecine_worker.ffmpeg.stop_order import StopOrder
from telecine_worker.health import broken_program
from telecine_worker.sandbox import selection
from telecine_worker.sandbox.confinement import NONE, Confinement, Limits, Mode
from telecine_worker.sandbox.selection import SandboxRefused, Wish, choose
from telecine_worker.sandbox.self_test import weakness_of

LONG = timedelta(seconds=30)


def is_gone(pid: int) -> bool:
    """Or dead, and whoever inherited it has not looked at it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("mode", MODES)
def test_a_child_cannot_get_out(mode: str) -> None:
    """The self-test of a worker, once more: it finds nothing, and leaves nothing."""
    assert weakness_of(confined(mode), environment("test")) is None


def test_the_self_test_notices_what_is_open() -> None:
    """The control: without a sandbox everything works that it tries."""
    words = ("read", "write", "write", "mode", "tcp", "udp", "local", "signal", "look", "see")
    said = f"a program in it {', '.join(f'can {word}' for word in words)}"
    assert said == weakness_of(NONE, environment("test"))


@pytest.mark.parametrize(
    ("mode", "opened", "word"),
    [
        ("bwrap", tempfile.gettempdir(), "read"),
        ("landlock", tempfile.gettempdir(), "read"),
        ("landlock", "/proc", "see"),
    ],
)
def test_the_self_test_notices_one_hole(mode: str, opened: str, word: str) -> None:
    """A sandbox that shows too much of the machine is refused."""
    found = confined(mode)
    holed = replace(found, readable=(*found.readable, opened))
    assert f"a program in it can {word}" == weakness_of(holed, environment("test"))


def test_the_self_test_says_when_nothing_runs() -> None:
    """Not even Python: its libraries are not there."""
    said = weakness_of(replace(confined("bwrap"), readable=()), environment("test"))
    assert said is not None
    assert said.startswith("its self-test does not run: ")


def test_auto_takes_the_strongest_that_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bubblewrap on PATH that is Landlock; bubblewrap by name is refused, with words and what would be right."""
    tools = toolchain_under_test()
    confined("landlock")
    monkeypatch.setenv("PATH", "/nonexistent")

    def chosen(wish: Wish) -> Confinement:
        return choose(
            wish,
            programs=(tools.ffmpeg, tools.ffprobe),
            environment=environment("test"),
            limits=Limits(most_file_bytes=1),
        )

    assert (Mode.LANDLOCK, Limits(most_file_bytes=1)) == (chosen(Wish.AUTO).mode, chosen(Wish.AUTO).limits)
    with pytest.raises(SandboxRefused, match=r"\(bwrap: bwrap is not on PATH\).*TELECINE_SANDBOX=off"):
        chosen(Wish.BWRAP)
    assert (Mode.OFF, Limits(most_file_bytes=1)) == (chosen(Wish.OFF).mode, chosen(Wish.OFF).limits)
    monkeypatch.setattr(selection, "weakness_of", lambda *_: "it leaks")
    with pytest.raises(SandboxRefused, match=r"\(bwrap: bwrap is not on PATH; landlock: it leaks\)"):
        chosen(Wish.AUTO)


def test_a_mode_offers_itself_and_the_weaker_ones() -> None:
    """A job that asks for a minimum finds the stronger one, too."""
    assert [["sandbox/bwrap", "sandbox/landlock"], ["sandbox/landlock"], []] == [list(mode.labels) for mode in Mode]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("pass", 0),
        ("import os; os._exit(3)", 3),
        ("import os; os._exit(134)", 134),
        ("import os; os._exit(187)", 187),
        ("import os; os._exit(255)", 255),
        ("import ctypes; ctypes.string_at(0)", -11),
    ],
)
async def test_the_exit_code_is_the_programs(sandbox: Confinement, script: str, code: int) -> None:
    """A signal is a negative number, as without a sandbox; FFmpeg's own high codes stay what they are."""
    ended, _ = await run(sandbox, script)
    assert (code, False) == (ended.code, ended.stopped)


async def test_its_cost_is_the_programs(sandbox: Confinement) -> None:
    """CPU time, memory, and what it does now are not those of what confines it."""
    output = bytearray()
    script = """
        import time
        data = b"x" * 50_000_000
        print("ready", flush=True)
        while time.process_time() < 0.3: pass
        print("done", flush=True)
    """
    async with running(command(sandbox, script), on_output=output.extend, stop=StopOrder()) as child:
        await begun(child, output)
        does = activity(child.pid)
        ended = await asyncio.wait_for(child.wait(), 20)
    assert does is not None
    assert does.moved_bytes > 0
    assert timedelta(milliseconds=200) <= ended.usage.cpu < timedelta(seconds=5)
    assert 50_000_000 < ended.usage.peak_memory_bytes < 150_000_000


async def test_a_program_that_heeds_sigterm_ends_by_itself(sandbox: Confinement) -> None:
    """Well before it would be killed, with its own exit code."""
    script = """
        import os, signal, time
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        print("ready", flush=True)
        time.sleep(600)
    """
    output = bytearray()
    async with running(command(sandbox, script), on_output=output.extend, stop=StopOrder()) as child:
        await begun(child, output)
        child.stop(LONG)
        ended = await asyncio.wait_for(child.wait(), ALLOWANCE)
    assert (7, True) == (ended.code, ended.stopped)


@pytest.mark.parametrize("killed", ["stop", "stop of all that stand still", "group", "program"])
async def test_nothing_is_left_of_what_is_killed(sandbox: Confinement, killed: str) -> None:
    """By us, or by somebody who kills the process that we started, or the program: when the wait is over, it is gone. What
    it used is known, unless bubblewrap was killed, who knew it.
    """
    script = (
        "print('ready', flush=True)\nimport time\nwhile time.process_time() < 0.2: pass\nprint('busy')\ntime.sleep(600)"
    )
    output = bytearray()
    async with running(command(sandbox, script), on_output=output.extend, stop=StopOrder()) as child:
        async with asyncio.timeout(ALLOWANCE):
            while b"busy" not in output:
                await asyncio.sleep(0.005)
        pid, began = child.pid, time.monotonic()
        if killed.startswith("stop"):
            if killed != "stop":
                for each in (child.group, pid):
                    os.kill(each, signal.SIGSTOP)
            # Sooner than the grace: it does not catch SIGTERM.
            child.stop(LONG)
        else:
            os.kill(child.group if killed == "group" else pid, signal.SIGKILL)
        ended = await asyncio.wait_for(child.wait(), ALLOWANCE)
        assert is_gone(pid)
    assert time.monotonic() - began < ALLOWANCE
    assert (-15 if killed.startswith("stop") and sandbox.mode is Mode.LANDLOCK else -9) == ended.code
    if killed != "group":
        assert ended.usage.cpu >= timedelta(milliseconds=150)


async def test_it_has_its_input_and_nothing_else_open(sandbox: Confinement, tmp_path: Path) -> None:
    """No folder above all, from which a path would lead out."""
    (tmp_path / "in").write_text("words")
    with (tmp_path / "in").open("rb") as given:
        fd = given.fileno()
        script = f"""
            import os
            found = []
            for fd in range(256):
                try: found.append((fd, os.fstat(fd).st_mode >> 12))
                except OSError: pass
            print(found, open('/proc/self/fd/{given.fileno()}').read())
        """
        _, said = await run(sandbox, script, pass_fds=(given.fileno(),))
    assert f"[(0, 2), (1, 1), (2, 1), ({fd}, 8)] words\n" == said


async def test_it_has_namespaces_of_its_own(sandbox: Confinement) -> None:
    """Behind the filter of system calls, which alone would stop sockets, there is no network either."""
    wanted = {"net", "ipc", "pid", "uts", "mnt"} if sandbox.mode is Mode.BWRAP else {"net", "ipc"}
    if sandbox.mode is Mode.LANDLOCK and not makes_namespaces():
        pytest.skip("this machine lets this user make no network namespace")
    script = f"import os\nfor name in {sorted(wanted)}: print(os.readlink('/proc/self/ns/' + name))"
    _, said = await run(sandbox, script)
    ours = {str(Path(f"/proc/self/ns/{name}").readlink()) for name in wanted}
    assert (len(wanted), set()) == (len(said.split()), ours & set(said.split()))


async def test_root_reads_what_is_somebody_elses(sandbox: Confinement, tmp_path: Path) -> None:
    """A film that its owner alone may read: the worker could open it, and so can FFmpeg; it still may read nothing else."""
    if os.geteuid() != 0:
        pytest.skip("only root can open such a file")
    film, secret = tmp_path / "film", tmp_path / "secret"
    for path in (film, secret):
        path.write_text("words")
        path.chmod(0o600)
        os.chown(path, 1000, 1000)
    with film.open("rb") as given:
        script = f"""
            print(open('/proc/self/fd/{given.fileno()}').read())
            try: print(open('{secret}').read())
            except OSError as error: print(type(error).__name__)
            print([line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')]
                  if {sandbox.mode is Mode.BWRAP} else '')
        """
        _, said = await run(sandbox, script, pass_fds=(given.fileno(),))
    word, error, capabilities = said.splitlines()
    assert ("words", True) == (word, error in ("PermissionError", "FileNotFoundError"))
    assert capabilities in ("", "['0000000000000002']")


REFUSED = (
    "os.fork()", "os.posix_spawn('/bin/true', ['true'], {})", "socket.socket(socket.AF_INET)",
    "socket.socket(socket.AF_UNIX)", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", "os.chmod('.', 0o777)",
    "os.symlink('/etc', 'link')", "os.link('made', 'other')", "os.mkfifo('pipe')", "os.utime('made')", "os.kill(-1, 0)",
    "os.setpriority(os.PRIO_PROCESS, 0, 0)", "os.setxattr('made', 'user.a', b'b')", "os.truncate('made', 0)",
    "resource.prlimit(os.getppid() or 2, resource.RLIMIT_CPU, (1, 1))", "fcntl.fcntl(1, fcntl.F_SETOWN, 1)",
)  # fmt: skip


async def test_what_a_media_tool_never_does_is_refused(sandbox: Confinement, tmp_path: Path) -> None:
    """By the filter of system calls; threads and files of its own are its affair."""
    script = f"""
        import fcntl, os, resource, socket, _thread, time
        ran = []
        _thread.start_new_thread(ran.append, (1,))
        while not ran: time.sleep(0.001)
        open('made', 'w').close()
        os.rename('made', 'moved'); os.rename('moved', 'made')
        for call in {REFUSED}:
            try: exec(call)
            except PermissionError: continue
            print(call)
    """
    ended, said = await run(sandbox, script, cwd=str(tmp_path))
    assert (0, "") == (ended.code, said), ended.log_tail


async def test_a_sandbox_that_cannot_be_made_is_the_workers_fault(tmp_path: Path) -> None:
    """bubblewrap may not: SANDBOX_FAILED, to be tried again elsewhere, and the worker's trial finds it, too."""
    found = confined("bwrap")
    words = "bwrap: Creating new namespace failed: Operation not permitted"
    (tmp_path / "bwrap").write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    broken = replace(found, bwrap=str(tmp_path / "bwrap"))
    ended, _ = await run(broken, "pass")
    failure = failure_kinds.failure_of(ended, "encoding")
    assert failure is not None
    assert ("retryable", "SANDBOX_FAILED", True) == (
        failure.failure.kind.value, failure.failure.reason, words in failure.failure.message,
    )  # fmt: skip
    said = broken_program(replace(toolchain_under_test(), confinement=broken))
    assert said is not None
    assert said.endswith(f"exit code 1, {words}")


async def test_landlock_that_is_gone_is_the_workers_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the launcher's own words: nothing was run unconfined instead."""
    found = with_python(confined("landlock"))
    (tmp_path / "file").touch()
    # A path below a file is an error that a missing path is not.
    ended, said = await run(
        replace(found, readable=(*found.readable, str(tmp_path / "file" / "below"))), "print('ran')"
    )
    failure = failure_kinds.failure_of(ended, "encoding")
    assert failure is not None
    assert ("", 125, "SANDBOX_FAILED") == (said, ended.code, failure.failure.reason)


@pytest.mark.parametrize("mode", MODES)
def test_programs_answer_in_it(mode: str) -> None:
    """Both of them, as the worker's trial starts them."""
    assert broken_program(replace(toolchain_under_test(), confinement=confined(mode))) is None
