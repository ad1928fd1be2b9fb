"""Landlock by its system calls: what a process may open from now on, whoever it is (Linux's linux/landlock.h)."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Sequence

# The same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REGULAR, _REFER, _TRUNCATE, _IOCTL = 1 << 7, 1 << 8, 1 << 13, 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_WRITE = (
    _READ_FILE | _READ_DIR | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REGULAR | _REFER | _TRUNCATE
)
_DEVICE = _READ_FILE | _WRITE_FILE | _IOCTL
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
# By version: the rights over files, over TCP (bind, connect) and the scopes (abstract sockets, signals) that it knows.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_SINCE, _SCOPES_SINCE = 4, 6
_ALL_OF_TWO = 3


def version(libc: ctypes.CDLL) -> int:
    """Of the kernel's Landlock; 0: it has none, or it is switched off."""
    return max(0, int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))))


def restrict(
    libc: ctypes.CDLL, *, read: Sequence[str], inputs: Sequence[int], devices: Sequence[str], write: str | None
) -> None:
    """Confine this thread and what it becomes: *read* to read and run, *inputs* (descriptors) to read, *devices* to use,
    the folder *write* to write in. Paths that are not there are left out. Raises OSError.

    No TCP, no signals to others, no abstract sockets, as far as the kernel's version knows of them. Wants
    PR_SET_NO_NEW_PRIVS before.
    """
    found = version(libc)
    rights = _FILE_RIGHTS[max(each for each in _FILE_RIGHTS if each <= max(1, found))]
    attributes = struct.pack("=Q", rights)
    if found >= _TCP_SINCE:
        attributes += struct.pack("=Q", _ALL_OF_TWO)
    if found >= _SCOPES_SINCE:
        attributes += struct.pack("=Q", _ALL_OF_TWO)
    ruleset = _called(libc, _CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    for path in read:
        _allow_path(libc, ruleset, path, _READ & rights)
    for path in devices:
        _allow_path(libc, ruleset, path, _DEVICE & rights)
    if write is not None:
        _allow_path(libc, ruleset, write, _WRITE & rights)
    for fd in inputs:
        _allow(libc, ruleset, fd, _READ_FILE)
    _called(libc, _RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def _allow_path(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        _allow(libc, ruleset, fd, rights)
    finally:
        os.close(fd)


def _allow(libc: ctypes.CDLL, ruleset: int, fd: int, rights: int) -> None:
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        rights &= _OF_FILES
    rule = struct.pack("=Qi", rights, fd)
    try:
        _called(libc, _ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0))
    except OSError as error:
        # A pipe, say: what lies in no file system that has paths is not restricted, and takes no rule.
        if error.errno != errno.EBADFD:
            raise


def _called(libc: ctypes.CDLL, number: int, *arguments: object) -> int:
    done = int(libc.syscall(ctypes.c_long(number), *arguments))
    if done < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock: {os.strerror(error)}")
    return done
