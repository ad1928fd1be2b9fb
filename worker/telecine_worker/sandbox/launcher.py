"""Become another program that cannot outlive the worker: launcher.py WORKER_PID FOLDER PROGRAM [ARGUMENT ...]

Runs as ``python -I -S launcher.py``, by path, with the standard library only, and replaces itself by PROGRAM, so that
no process of Python stays behind. Before that it
 - asks the kernel for SIGKILL when the thread that started it ends (prctl PR_SET_PDEATHSIG survives execve);
 - looks whether its parent is still WORKER_PID, because a worker that died before the line above leaves no signal
   behind;
 - goes to FOLDER: here, because a worker that did so while it starts this process would hang in a file system that
   does, with all its threads;
 - turns core dumps off, bounds open files, and lowers its priority, so that the worker's renewals run before any
   encoder.

Ends with EXIT_CODE and one line on standard error when it cannot start PROGRAM.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

EXIT_CODE = 125
WORDS = "telecine-launcher: "
PR_SET_PDEATHSIG = 1
OPEN_FILES = 256
NICENESS = 10


def fail(text: str) -> int:
    """Say why PROGRAM was not started."""
    sys.stderr.write(f"{WORDS}{text}\n")
    return EXIT_CODE


def confine() -> None:
    """Lower the limits of this process. Limits that are lower already stay."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    os.nice(NICENESS)


def main(arguments: list[str]) -> int:
    """Returns only when PROGRAM could not be started."""
    worker_pid, folder, program, *rest = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        return fail(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(worker_pid):
        return fail("the worker is gone")
    confine()
    # An ignored signal stays ignored over execve: Python ignores SIGPIPE and SIGXFSZ, a shell those of a background job.
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    try:
        os.chdir(folder)
    except OSError as error:
        return fail(f"{folder}: {error.strerror}")
    try:
        os.execv(program, [program, *rest])  # noqa: S606 - this is what the module is for
    except OSError as error:
        return fail(f"{program}: {error.strerror}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
