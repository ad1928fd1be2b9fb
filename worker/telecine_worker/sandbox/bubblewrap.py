"""The command line of bubblewrap (bwrap(1), 0.8 and newer with --bind-fd): a file system of what a program needs."""

from __future__ import annotations

import os
from collections.abc import Sequence

EXIT_CODE = 1
WORDS = "bwrap: "
"""How bwrap ends, and begins what it says, where it cannot do what it is told."""
STAGING = "/staging"
"""What the one writable folder is called inside."""
TEMPORARY_BYTES = 64 << 20
NAMESPACES = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
# An ordinary user gets the others by a user namespace. To root, one would only take away the reading of files that are not
# root's, and it opens more of the kernel to the program than it closes.
OF_USERS = ("--unshare-user", "--disable-userns")


def command(
    *,
    bwrap: str,
    argv: Sequence[str],
    readable: Sequence[str],
    devices: Sequence[str],
    folder_fd: int | None,
    override: bool,
    filter_fd: int | None,
    info_fd: int | None,
) -> list[str]:
    """How to run *argv* as the first process of its own namespaces.

    *folder_fd* is the folder where it works and may write; None: there is none. *override* keeps root's right to read
    what its mode forbids. *filter_fd* holds a filter of system calls. On *info_fd* bwrap says which process the program is.
    """
    words = [bwrap, *NAMESPACES, *(OF_USERS if os.geteuid() != 0 else ()), "--die-with-parent", "--as-pid-1"]
    words += ["--cap-drop", "ALL", *(("--cap-add", "CAP_DAC_OVERRIDE") if override else ())]
    # First: what is readable may lie below.
    words += ["--proc", "/proc", "--dev", "/dev", "--size", str(TEMPORARY_BYTES), "--tmpfs", "/tmp"]  # noqa: S108 - its own
    for path in readable:
        words += _symlink(path) or ["--ro-bind-try", path, path]
    for path in devices:
        words += ["--dev-bind-try", path, path]
    if folder_fd is not None:
        words += ["--bind-fd", str(folder_fd), STAGING]
    words += ["--remount-ro", "/", "--chdir", STAGING if folder_fd is not None else "/"]
    if filter_fd is not None:
        words += ["--seccomp", str(filter_fd)]
    if info_fd is not None:
        words += ["--info-fd", str(info_fd)]
    return [*words, "--", *argv]


def _symlink(path: str) -> list[str]:
    """/lib is usr/lib on most systems, and has to be so inside."""
    return ["--symlink", os.readlink(path), path] if os.path.islink(path) else []  # noqa: PTH115, PTH114 - in the launcher
