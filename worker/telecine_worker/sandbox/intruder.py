"""Tries everything that a confined program must not be able to do: intruder.py NAME=VALUE ...

Runs as ``python -I -S intruder.py`` inside a sandbox and prints one line for each thing that worked that should not have, and
one for each that did not work that should have. Prints DONE at the end. The names are those of :data:`TRIALS`.
"""

from __future__ import annotations

import os
import socket
import sys

DONE = "done"
WORDS = b"telecine"


def read(path: str) -> None:
    """Read a file that is none of its inputs."""
    with open(path, "rb") as file:  # noqa: PTH123 - without pathlib it starts sooner
        file.read()


def write(path: str) -> None:
    """Make a file outside of its folder."""
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(WORDS)


def change_mode(path: str) -> None:
    """Change a file without opening it."""
    os.chmod(path, 0o640)  # noqa: PTH101


def tcp(address: str) -> None:
    """Call somebody."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=1).close()


def udp(address: str) -> None:
    """Send somebody something."""
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.sendto(WORDS, (host, int(port)))


def local(name: str) -> None:
    """Call somebody on the same machine, by an abstract name."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(1)
        caller.connect(f"\0{name}")


def signal(pid: str) -> None:
    """Reach the worker; signal 0 only asks whether it could."""
    os.kill(int(pid), 0)


def look(pid: str) -> None:
    """See what the worker was started with."""
    read(f"/proc/{pid}/environ")


def see(marker: str) -> None:
    """Find the worker among all processes."""
    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            if int(pid) != os.getpid() and marker.encode() in file.read():
                return
    raise LookupError(marker)


FORBIDDEN = {
    "read": read, "write": write, "mode": change_mode, "tcp": tcp, "udp": udp, "local": local, "signal": signal,
    "look": look, "see": see,
}  # fmt: skip


def use_input(fd: str) -> None:
    """Open its input again, as FFmpeg does."""
    read(f"/proc/self/fd/{fd}")


def stage(name: str) -> None:
    """Write where it works."""
    write(name)


NEEDED = {"input": use_input, "stage": stage}
TRIALS = FORBIDDEN | NEEDED


def main(arguments: list[str]) -> None:
    """Try what is asked for."""
    for argument in arguments:
        name, _, value = argument.partition("=")
        try:
            TRIALS[name](value)
        except (OSError, LookupError) as error:
            if name in NEEDED:
                print(f"cannot {name}: {error}")  # noqa: T201 - its answer
        else:
            if name in FORBIDDEN:
                print(f"can {name}")  # noqa: T201
    print(DONE)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
