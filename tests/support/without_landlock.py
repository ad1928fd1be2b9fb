"""A machine without Landlock: without_landlock.py PROGRAM [ARGUMENT ...] becomes PROGRAM, to which the kernel has none."""

from __future__ import annotations

import ctypes
import os
import struct
import sys

_CREATE_RULESET, _ENOSYS = 444, 38
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main(argv: list[str]) -> None:
    """Its number is the same on every architecture."""
    refuse, allow = 0x00050000 | _ENOSYS, 0x7FFF0000
    steps = [(_LOAD, 0, 0, 0), (_EQUAL, 0, 1, _CREATE_RULESET), (_RETURN, 0, 0, refuse), (_RETURN, 0, 0, allow)]
    program = _Program(len(steps), b"".join(struct.pack("=HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    assert 0 == libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    assert 0 == libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0), os.strerror(ctypes.get_errno())
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main(sys.argv[1:])
