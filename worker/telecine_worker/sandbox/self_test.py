"""Whether a sandbox holds, shown by a real child in it that tries to get out."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from telecine_worker.sandbox import intruder, launcher
from telecine_worker.sandbox.confinement import Confinement, Launch

SECONDS = 10
_SECRET = b"nobody may read this"


def weakness_of(confinement: Confinement, environment: dict[str, str]) -> str | None:
    """What is wrong with *confinement*, in words; None: it holds. Blocks for a fraction of a second, at most for SECONDS.

    Makes files where temporary files are made. For a thread that lasts: the child dies with it.
    """
    with contextlib.ExitStack() as opened:
        outside = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="telecine-self-test-")))
        tcp = opened.enter_context(_listening(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)))
        udp = opened.enter_context(_listening(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)))
        name = f"telecine-{uuid.uuid4().hex}"
        local = opened.enter_context(_listening(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{name}"))
        (outside / "secret").write_bytes(_SECRET)
        (outside / "staging").mkdir()
        given = opened.enter_context((outside / "input").open("w+b"))
        trials = [
            f"read={outside}/secret", f"write={outside}/made", f"write={outside}/secret", f"mode={outside}/secret",
            f"tcp=127.0.0.1:{tcp.getsockname()[1]}", f"udp=127.0.0.1:{udp.getsockname()[1]}", f"local={name}",
            f"signal={os.getpid()}", f"look={os.getpid()}", f"see={_own_words()}", f"input={given.fileno()}", "stage=made",
        ]  # fmt: skip
        said = _answer(confinement, outside / "staging", given.fileno(), environment, trials)
        if said is not None:
            return said
        heard = [each for each in (tcp, udp, local) if _was_reached(each)]
        untouched = (outside / "secret").read_bytes() == _SECRET and not (outside / "made").exists()
        return None if untouched and not heard else "the child reached what it said it could not"


def _answer(
    confinement: Confinement, folder: Path, fd: int, environment: dict[str, str], trials: list[str]
) -> str | None:
    # Python is not what will be run: the sandbox has to show it what it needs.
    python = os.path.realpath(sys.executable)
    readable = (*confinement.readable, sys.base_prefix, python, intruder.__file__)
    launch = Launch(
        worker_pid=os.getpid(),
        folder=str(folder),
        confinement=replace(confinement, readable=readable),
        inputs=(fd,),
        argv=(python, "-I", "-S", intruder.__file__, *trials),
    )
    try:
        ran = subprocess.run(
            [sys.executable, "-I", "-S", launcher.__file__, *launch.arguments()],
            stdin=subprocess.DEVNULL, capture_output=True, pass_fds=(fd,), env=environment, timeout=SECONDS,
            check=False, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"its self-test takes longer than {SECONDS} s"
    except OSError as error:
        return f"its self-test does not start: {error.strerror}"
    *problems, end = ran.stdout.decode(errors="replace").splitlines() or [""]
    if ran.returncode != 0 or end != intruder.DONE:
        words = ran.stderr.decode(errors="replace").strip().rpartition("\n")[2].removeprefix(launcher.WORDS)
        return f"its self-test does not run: {words or f'exit code {ran.returncode}'}"
    return f"a program in it {', '.join(problems)}" if problems else None


def _own_words() -> str:
    return Path("/proc/self/cmdline").read_bytes().split(b"\0", 1)[0].decode(errors="replace")


@contextlib.contextmanager
def _listening(
    family: socket.AddressFamily, kind: socket.SocketKind, address: tuple[str, int] | str
) -> Iterator[socket.socket]:
    with socket.socket(family, kind) as listener:
        listener.bind(address)
        listener.settimeout(0)
        if kind is socket.SOCK_STREAM:
            listener.listen()
        yield listener


def _was_reached(listener: socket.socket) -> bool:
    try:
        if listener.type is socket.SOCK_STREAM:
            listener.accept()[0].close()
        else:
            listener.recv(1)
    except BlockingIOError:
        return False
    return True
