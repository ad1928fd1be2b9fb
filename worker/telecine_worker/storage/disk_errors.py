"""What an error of the file system means for an attempt."""

from __future__ import annotations

import errno

from telecine_worker.failure import AttemptFailed, permanent, retryable

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_ESCAPE = frozenset({errno.ELOOP, errno.EXDEV})
_NOT_A_NAME = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL})


def read_failure(error: OSError, what: str) -> AttemptFailed:
    """For an input that could not be opened or read; *what* names it."""
    said = error.strerror or "unreadable"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return permanent("INPUT_NOT_FOUND", f"{what} does not exist on the worker ({said})")
    if error.errno in _ESCAPE:
        return permanent("PATH_NOT_ALLOWED", f"{what} leads through a symbolic link or out of its file root ({said})")
    if error.errno == errno.EISDIR:
        return permanent("INPUT_UNREADABLE", f"{what} is a directory; a regular file would be right")
    if error.errno in (*_REFUSED, *_NOT_A_NAME, errno.ENXIO):
        return permanent("INPUT_UNREADABLE", f"{what} cannot be read ({said}); a readable regular file would be right")
    return retryable("IO_ERROR", f"{what} could not be read ({said})")


def write_failure(error: OSError, what: str) -> AttemptFailed:
    """For an output that could not be made, staged or published; *what* names it."""
    said = error.strerror or "unwritable"
    if error.errno in _NO_SPACE:
        return retryable("NO_SPACE", f"{what}: {said}")
    if error.errno in _ESCAPE:
        return permanent("PATH_NOT_ALLOWED", f"{what} leads through a symbolic link or out of its file root ({said})")
    if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY):
        return permanent(
            "OUTPUT_EXISTS", f"{what}: a file is where a directory would be needed, or the reverse ({said})"
        )
    if error.errno in (*_REFUSED, *_NOT_A_NAME):
        return permanent("OUTPUT_NOT_WRITABLE", f"{what} cannot be written ({said})")
    return retryable("IO_ERROR", f"{what} could not be written ({said})")


def scratch_failure(error: OSError, what: str) -> AttemptFailed:
    """For the worker's own copy of an input; *what* names the input. Another worker's disk may be better."""
    said = error.strerror or "unwritable"
    reason = "NO_SPACE" if error.errno in _NO_SPACE else "IO_ERROR"
    return retryable(reason, f"{what} could not be kept in the work directory of the worker ({said})")
