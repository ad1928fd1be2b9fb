"""What to run, and how a process of it is started."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from telecine_worker.sandbox import launcher
from telecine_worker.sandbox.confinement import NONE, Confinement, Launch

MARKER_VARIABLE = "TELECINE_ATTEMPT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run. *argv[0]* is an absolute path; *pass_fds* keep their numbers in the child.

    *marker* goes into the environment, so that the processes of an attempt can be found in /proc. *cwd* need not answer:
    only the child waits for it; what is confined may write there, and nowhere where it is "/". *names* maps paths of
    ours to what the log shows instead. *on_line* hears every line of the log; it is bounded, this is not. With more CPU time
    than *cpu_limit* the kernel ends it.
    """

    argv: Sequence[str]
    marker: str
    cwd: str = "/"
    pass_fds: Sequence[int] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    on_line: Callable[[str], None] = lambda _: None
    confinement: Confinement = NONE
    cpu_limit: timedelta | None = None


def spawn(command: Command, *, info_fd: int | None = None, doors: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start *command* behind the launcher. From a thread only that lasts, as the event loop's: the child dies with it.

    Until the child has become another program, all threads of this process wait for it. So that is Python, which answers,
    and neither *command*'s folder nor its program, whose file systems may not. *info_fd* is where bubblewrap, if that
    confines it, says which process the program is; *doors* are those of control groups.
    """
    launch = Launch(
        worker_pid=os.getpid(),
        folder=command.cwd,
        confinement=command.confinement,
        inputs=command.pass_fds,
        cpu_seconds=None if command.cpu_limit is None else math.ceil(command.cpu_limit.total_seconds()),
        info_fd=info_fd,
        doors=doors,
        argv=command.argv,
    )
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(launcher.__file__).resolve()), *launch.arguments()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd="/",
        env=environment(command.marker),
        pass_fds=tuple(command.pass_fds) if info_fd is None else (*command.pass_fds, info_fd),
        start_new_session=True,
    )


def environment(marker: str) -> dict[str, str]:
    """Made from nothing: FFREPORT, for one, would make FFmpeg write a file anywhere."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "SVT_LOG": "1",
        MARKER_VARIABLE: marker,
    }
