"""Starts a program that cannot outlive whoever started it: `python -I -S launcher.py PARENT_PID PROGRAM [ARGUMENT ...]`.

Linux only: the kernel sends SIGKILL to this process when the *thread* that forked it ends (prctl(2), PR_SET_PDEATHSIG),
so it has to be started from a thread that lives as long as the process, which is the main one. The setting is kept over
exec. Elsewhere the program is just started.

Its own process, and not a preexec_fn, because between fork and exec no Python code is safe. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            sys.exit(f"launcher: prctl failed: {os.strerror(ctypes.get_errno())}")
        # The parent may have died before the setting was made; then nobody would send the signal.
        if os.getppid() != parent:
            sys.exit("launcher: the process that started this one is gone")
    try:
        os.execvp(program[0], program)  # noqa: S606 - there is no shell, which is the point
    except OSError as cannot:
        sys.exit(f"launcher: {program[0]} cannot be started: {cannot.strerror}")


if __name__ == "__main__":
    main()
