"""Where one machine's Telecine keeps things: the data directory, its lock, and the socket."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from telecine_local.valkey import LONGEST_SOCKET_PATH

# After a SIGKILL the database holds the lock for the instant it takes to die.
LOCK_PATIENCE = timedelta(seconds=2)


class DirectoryUnusable(Exception):
    """The data directory cannot be had; the message says why."""


class DirectoryInUse(DirectoryUnusable):
    """Another Telecine has it; the message says which one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What a stack may write to."""

    data: Path
    socket: Path
    lock: int
    """Descriptor of the lock; whoever inherits it holds the lock."""


def default_data_directory(environment: Mapping[str, str]) -> Path:
    """By the XDG base directory specification."""
    state = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(state) / "telecine" / "dev"


@contextlib.contextmanager
def open_places(data: Path, *, patience: timedelta = LOCK_PATIENCE) -> Iterator[Places]:
    """Make the data directory, lock it, and find a place for the socket.

    Raises DirectoryUnusable, or DirectoryInUse when another process holds the lock for longer than *patience*.
    """
    data = data.absolute()
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as cannot:
        raise DirectoryUnusable(f"{data} cannot be used for data ({cannot.strerror}); choose another place") from cannot
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, lock)
        _lock(lock, data, patience)
        yield Places(data=data, socket=_socket_path(data, stack), lock=lock)


def _lock(descriptor: int, data: Path, patience: timedelta) -> None:
    deadline = time.monotonic() + patience.total_seconds()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as held:
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
                raise DirectoryInUse(
                    f"{data} is in use by process {holder}; stop that one, or choose another place with --data-dir"
                ) from held
            time.sleep(0.05)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _socket_path(data: Path, stack: contextlib.ExitStack) -> Path:
    """In the data directory where its path is short enough, so that nothing is left elsewhere; else in a new short one."""
    socket = data / "valkey.sock"
    if len(bytes(socket)) <= LONGEST_SOCKET_PATH:
        return socket
    short = Path(tempfile.mkdtemp(prefix="telecine-"))
    stack.callback(shutil.rmtree, short)
    return short / "valkey.sock"
