"""The process that does the work: the child itself, or what bubblewrap started in namespaces of its own.

Signals go to it and not to bubblewrap, which then ends by itself and has waited for it: that is how its CPU time is known,
and that nothing of it is left. As the first process of its namespace it takes everything in there along when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
from collections.abc import Callable

_INFO_BYTES = 4096
# bwrap says 128 + n where a signal ended the program. FFmpeg's own codes begin at 134, which is a full disk quota: abort()
# ends the first process of a namespace by SIGSEGV, never by SIGABRT.
_SIGNALLED = range(129, 160)
_OWN_CODES = frozenset({128 + signal.SIGABRT})


class Program:
    """Of the child *child_pid*, which leads its process group. *info_fd*, taken over, is where bubblewrap says what it has
    started; None: the child is the program. For the event loop's thread.
    """

    def __init__(self, child_pid: int, info_fd: int | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._child_pid = child_pid
        self._info_fd = -1 if info_fd is None else info_fd
        self._said = b""
        self._pidfd = -1
        self.is_wrapped = info_fd is not None
        self.pid = child_pid
        if self._info_fd >= 0:
            os.set_blocking(self._info_fd, False)
            self._loop.add_reader(self._info_fd, self._learn)

    def send(self, number: signal.Signals) -> None:
        """To the program, or, while it is not known which that is, to the whole group."""
        if self._pidfd < 0:
            self._signal_group(number)
            return
        # The first process of a namespace never gets a signal that it does not catch, but this one.
        heard = number if number is signal.SIGCONT or _catches(self.pid, number) else signal.SIGKILL
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, heard)
        # Stopped, bubblewrap could not see that the program has ended.
        self._signal_group(signal.SIGCONT)

    def when_gone(self, then: Callable[[], None]) -> None:
        """The child is a zombie: kill what is left of its group and of the program, and call *then* once there is none."""
        self._learn()
        self._stop_learning()
        self._signal_group(signal.SIGKILL)
        if self._pidfd < 0 or self._is_gone():
            self.close()
            then()
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._loop.add_reader(self._pidfd, self._end, then)

    def close(self) -> None:
        """Give back the descriptors."""
        self._stop_learning()
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child_pid, number)

    def _end(self, then: Callable[[], None]) -> None:
        self.close()
        then()

    def _is_gone(self) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def _learn(self) -> None:
        if self._info_fd < 0:
            return
        try:
            chunk = os.read(self._info_fd, _INFO_BYTES)
        except BlockingIOError:
            return
        self._said += chunk
        if b"}" in self._said:
            self._take(json.loads(self._said)["child-pid"])
        elif chunk and len(self._said) < _INFO_BYTES:
            return
        self._stop_learning()

    def _take(self, pid: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        # It may have ended meanwhile, and its number may be another's.
        if _parent(pid) != self._child_pid:
            os.close(pidfd)
            return
        self.pid, self._pidfd = pid, pidfd

    def _stop_learning(self) -> None:
        if self._info_fd >= 0:
            self._loop.remove_reader(self._info_fd)
            os.close(self._info_fd)
            self._info_fd = -1


def unwrapped(code: int) -> int:
    """The program's own exit code, negative for a signal, from bubblewrap's."""
    return 128 - code if code in _SIGNALLED and code not in _OWN_CODES else code


def peak_memory_bytes(pid: int) -> int:
    """The most memory process *pid* has had so far; 0 when it is gone.

    From /proc, because wait4's ru_maxrss is never less than what the *worker* had when it started the child.
    """
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - read for every progress block
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    _, found, rest = text.partition(b"\nVmHWM:")
    return int(rest.split(None, 1)[0]) * 1024 if found else 0


def _catches(pid: int, number: signal.Signals) -> bool:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - /proc
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return False
    _, found, rest = text.partition(b"\nSigCgt:")
    return bool(found) and bool(int(rest.split(None, 1)[0], 16) & 1 << (number - 1))


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - /proc
            return int(file.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None
