"""Capabilities of this process (Linux's capabilities(7)): what a program started by root keeps of being root."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator, Sequence

DAC_OVERRIDE = 1
"""Read and write files whatever their mode says."""
_LAST = 63
_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 24, 47, 4
# _LINUX_CAPABILITY_VERSION_3: three sets of 64 bits, each in two halves.
_HEADER = struct.pack("=Ii", 0x20080522, 0)
_WORDS = "=6I"


def needs_override(libc: ctypes.CDLL, fds: Sequence[int]) -> bool:
    """Whether one of the open files *fds* can be opened again by root's capabilities only: it is somebody else's, who
    lets nobody read it.
    """
    if os.geteuid() != 0:
        return False
    with _without_effect(libc):
        return not all(_opens(fd) for fd in fds)


def keep_only(libc: ctypes.CDLL, kept: Sequence[int]) -> None:
    """Give up every capability but *kept*, for whatever this process becomes. Raises OSError."""
    for number in range(_LAST + 1):
        # Numbers that the kernel does not know are refused.
        if number not in kept:
            libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    _, permitted, _ = _sets(libc)
    mask = sum(1 << number for number in kept) & permitted
    _set(libc, effective=mask, permitted=mask, inheritable=0)


@contextlib.contextmanager
def _without_effect(libc: ctypes.CDLL) -> Iterator[None]:
    effective, permitted, inheritable = _sets(libc)
    _set(libc, effective=0, permitted=permitted, inheritable=inheritable)
    try:
        yield
    finally:
        _set(libc, effective=effective, permitted=permitted, inheritable=inheritable)


def _opens(fd: int) -> bool:
    try:
        os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except PermissionError:
        return False
    return True


def _sets(libc: ctypes.CDLL) -> tuple[int, int, int]:
    """Effective, permitted, inheritable."""
    words = ctypes.create_string_buffer(struct.calcsize(_WORDS))
    _check(libc.capget(_HEADER, words))
    low = struct.unpack(_WORDS, words.raw)
    return low[0] | low[3] << 32, low[1] | low[4] << 32, low[2] | low[5] << 32


def _set(libc: ctypes.CDLL, *, effective: int, permitted: int, inheritable: int) -> None:
    sets = (effective, permitted, inheritable)
    low, high = [each & 0xFFFFFFFF for each in sets], [each >> 32 for each in sets]
    _check(libc.capset(_HEADER, struct.pack(_WORDS, *low, *high)))


def _check(done: int) -> None:
    if done != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"capabilities: {os.strerror(error)}")
