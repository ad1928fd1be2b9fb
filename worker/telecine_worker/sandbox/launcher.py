"""Become another program that cannot outlive the worker, and is confined:

    launcher.py WORKER_PID FOLDER mode=bwrap|landlock|off [NAME=VALUE ...] -- PROGRAM [ARGUMENT ...]

Runs as ``python -I -S launcher.py``, by path, with the standard library and this folder only, and replaces itself by
PROGRAM, or by bubblewrap that runs it, so that no process of Python stays behind. Before that it
 - asks the kernel for SIGKILL when the thread that started it ends (prctl PR_SET_PDEATHSIG survives execve);
 - looks whether its parent is still WORKER_PID, because a worker that died before the line above leaves no signal
   behind;
 - goes to FOLDER: here, because a worker that did so while it starts this process would hang in a file system that
   does, with all its threads;
 - turns core dumps off, bounds open files, CPU time, memory and the size of files, and lowers its priority, so that the
   worker's renewals run before any encoder, and the kernel ends an encoder first where memory is short;
 - confines itself.

The names are those of :class:`telecine_worker.sandbox.confinement.Launch`. Ends with EXIT_CODE and one line on standard error
when it cannot start PROGRAM.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

if __name__ == "__main__":
    # Behind the standard library: the folder that has the package.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120

from telecine_worker.sandbox import bubblewrap, landlock, privileges, seccomp

EXIT_CODE = 125
WORDS = "telecine-launcher: "
SANDBOX_WORDS = f"{WORDS}sandbox: "
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SECCOMP_MODE_FILTER = 2
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
OPEN_FILES = 256
MOST_TASKS = 1024
"""Threads and processes of one child. An encoder on a machine of 64 processors has a few hundred."""
NICENESS = 10
# The first to be ended where memory runs out: the work is tried again, the worker has others to look after.
OOM_SCORE = 1000


class Order:
    """What the arguments say."""

    def __init__(self, arguments: list[str]) -> None:
        end = arguments.index("--")
        self.worker_pid, self.folder, self.argv = int(arguments[0]), arguments[1], arguments[end + 1 :]
        self._said = [tuple(word.split("=", 1)) for word in arguments[2:end]]

    def all(self, name: str) -> list[str]:
        """Every value of *name*."""
        return [value for said, value in self._said if said == name]

    def number(self, name: str) -> int | None:
        """The value of *name*; None: it was not said."""
        values = self.all(name)
        return int(values[0]) if values else None

    @property
    def inputs(self) -> list[int]:
        """Descriptors."""
        return [int(value) for value in self.all("input")]

    @property
    def writes(self) -> bool:
        """Whether there is a folder to write in."""
        return self.folder != "/"


def fail(text: str) -> int:
    """Say why PROGRAM was not started."""
    sys.stderr.write(f"{WORDS}{text}\n")
    return EXIT_CODE


def set_limits(order: Order) -> None:
    """Lower the limits of this process. Limits that are lower already stay."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    for name, limit in (
        ("cpu", resource.RLIMIT_CPU), ("file", resource.RLIMIT_FSIZE), ("memory", resource.RLIMIT_DATA),
    ):  # fmt: skip
        value = order.number(name)
        if value is not None:
            _lower(limit, value)
    os.nice(NICENESS)
    _write("/proc/self/oom_score_adj", str(OOM_SCORE))
    for path in order.all("cgroup"):
        _write(path, "0")


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    least = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (least, least))


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def bubblewrapped(libc: ctypes.CDLL, order: Order) -> list[str]:
    """What to run instead of PROGRAM, so that it is confined."""
    folder = os.open(".", os.O_PATH | os.O_DIRECTORY) if order.writes else None
    # As the first process of its namespace it is number 1.
    rules = _held(seccomp.program(1)) if seccomp.is_known() else None
    for fd in (folder, rules):
        if fd is not None:
            os.set_inheritable(fd, True)  # noqa: FBT003 - its only form
    return bubblewrap.command(
        bwrap=order.all("bwrap")[0], argv=order.argv, readable=order.all("read"), devices=order.all("device"),
        folder_fd=folder, override=privileges.needs_override(libc, order.inputs), filter_fd=rules,
        info_fd=order.number("info"),
    )  # fmt: skip


def _held(data: bytes) -> int:
    """A descriptor from which *data* can be read."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return reading


def confine(libc: ctypes.CDLL, order: Order) -> None:
    """Of what Landlock and the kernel can do without another program. Raises OSError."""
    override = privileges.needs_override(libc, order.inputs)
    # Where this is forbidden, Landlock stops TCP and the filter all sockets. Root needs no user namespace for it.
    is_root = os.geteuid() == 0
    apart = libc.unshare(CLONE_NEWNET | CLONE_NEWIPC | (0 if is_root else CLONE_NEWUSER)) == 0
    if apart and not is_root:
        # Counted from nothing in a user namespace of its own. Elsewhere all that its user runs counts, and for root the
        # kernel asks nobody; bubblewrap makes its namespace after us, in which what we had set would be its user's, too.
        # There a control group bounds threads, and RLIMIT_DATA does by their stacks; new processes the filter forbids.
        _lower(resource.RLIMIT_NPROC, MOST_TASKS)
    _called("prctl(PR_SET_NO_NEW_PRIVS)", libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    landlock.restrict(
        libc,
        read=order.all("read"),
        inputs=order.inputs,
        devices=order.all("device"),
        write="." if order.writes else None,
    )
    privileges.keep_only(libc, [privileges.DAC_OVERRIDE] if override else [])
    if seccomp.is_known():
        rules = seccomp.program(os.getpid())
        program = _FilterProgram(len(rules) // 8, rules)
        _called("seccomp", libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))


class _FilterProgram(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _called(what: str, done: int) -> None:
    if done != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def main(arguments: list[str]) -> int:
    """Returns only when PROGRAM could not be started."""
    order = Order(arguments)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        return fail(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != order.worker_pid:
        return fail("the worker is gone")
    set_limits(order)
    # An ignored signal stays ignored over execve: Python ignores SIGPIPE and SIGXFSZ, a shell those of a background job.
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    try:
        os.chdir(order.folder)
    except OSError as error:
        return fail(f"{order.folder}: {error.strerror}")
    argv, mode = order.argv, order.all("mode")[0]
    try:
        if mode == "bwrap":
            argv = bubblewrapped(libc, order)
        elif mode == "landlock":
            confine(libc, order)
    except OSError as error:
        return fail(f"sandbox: {error.strerror}")
    try:
        os.execv(argv[0], argv)  # noqa: S606 - this is what the module is for
    except OSError as error:
        return fail(f"{argv[0]}: {error.strerror}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
