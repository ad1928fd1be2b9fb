"""Opening files below a directory, never outside it: no "..", no symbolic links, checked by the kernel while it opens.

openat2 (Linux 5.6) does it in one call; where it is missing or forbidden by a seccomp filter, the path is walked part
by part with O_NOFOLLOW, which gives the same answers.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Sequence

_SYS_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_ATTEMPTS = 16


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)


def open_beneath(directory: int, parts: Sequence[str], flags: int) -> int:
    """Open the file at *parts* below the open *directory*; no parts: the directory itself.

    Raises OSError: ELOOP where a symbolic link is in the way, EXDEV where the path would leave the directory.
    """
    if any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), "/".join(parts))
    try:
        return _openat2(directory, parts, flags)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
    return walk(directory, parts, flags)


def _openat2(directory: int, parts: Sequence[str], flags: int) -> int:
    path = "/".join(parts) or "."
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    how = _OpenHow(flags=flags | os.O_CLOEXEC, mode=0, resolve=resolve)
    for _ in range(_ATTEMPTS):
        fd: int = _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(directory),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if fd >= 0:
            return fd
        # EAGAIN: something was renamed meanwhile and the kernel could not be sure.
        if ctypes.get_errno() != errno.EAGAIN:
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def walk(directory: int, parts: Sequence[str], flags: int) -> int:
    """What open_beneath does where there is no openat2."""
    with contextlib.ExitStack() as opened:
        here = directory
        for part in parts[:-1]:
            here = _step(here, part, os.O_PATH)
            opened.callback(os.close, here)
        return _step(here, parts[-1] if parts else ".", flags)


def _step(directory: int, part: str, flags: int) -> int:
    fd = os.open(part, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    # O_PATH with O_NOFOLLOW opens the link itself; O_DIRECTORY would refuse one as ENOTDIR, which hides why.
    if stat.S_ISLNK(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), part)
    return fd


def open_regular(directory: int, parts: Sequence[str]) -> int:
    """Open a file for reading. Never blocks on a FIFO and never touches a device: only a regular file is really opened.

    Raises OSError as open_beneath; EISDIR for a directory, ENXIO for anything else that is no regular file.
    """
    handle = open_beneath(directory, parts, os.O_PATH | os.O_NOFOLLOW)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISLNK(mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), "/".join(parts))
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), "/".join(parts))
        if not stat.S_ISREG(mode):
            raise OSError(errno.ENXIO, "not a regular file", "/".join(parts))
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def make_directories(directory: int, parts: Sequence[str], mode: int = 0o777) -> int:
    """Open the directory at *parts* below *directory*, making what is missing; new entries are on disk when it returns."""
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    for part in parts:
        try:
            try:
                os.mkdir(part, mode, dir_fd=here)
                os.fsync(here)
            except FileExistsError:
                pass
            below = open_beneath(here, (part,), os.O_RDONLY | os.O_DIRECTORY)
        finally:
            os.close(here)
        here = below
    return here
