"""A stack of a real Valkey and two small programs that stand for the servers and tell the test what happens to them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from telecine_local.places import Places, open_places
from telecine_local.stack import Setup
from telecine_local.valkey import find_server

# Prints what a server prints when it is ready; reports its start and its SIGTERM to the test's socket. With "stubborn"
# among its arguments it does not end on SIGTERM.
PROGRAM = """
import json, os, signal, socket, sys

name, reports = sys.argv[1], sys.argv[2]

def report(event, **facts):
    with socket.socket(socket.AF_UNIX) as out:
        out.connect(reports)
        out.sendall(json.dumps({"name": name, "event": event, "pid": os.getpid(), **facts}).encode() + b"\\n")

def ping():
    path = os.environ.get("TELECINE_REDIS_URL", "").removeprefix("unix://")
    if not path:
        return ""
    with socket.socket(socket.AF_UNIX) as database:
        database.connect(path)
        database.sendall(b"PING\\r\\n")
        return database.recv(100).decode().strip()

def term(*_):
    report("term", database=ping())
    if "stubborn" not in sys.argv:
        sys.exit(0)

signal.signal(signal.SIGTERM, term)
report("start", argv=sys.argv[3:], environment={k: v for k, v in os.environ.items() if k.startswith("TELECINE_")})
print("ready", "grpc=127.0.0.1:4711", "worker=w", "metrics=127.0.0.1:4712", flush=True)
while True:
    signal.pause()
"""


class Reports:
    """What the programs said, in order."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One report a connection."""
        self._queue.put_nowait(json.loads(await reader.readline()))
        writer.close()

    async def next(self) -> dict[str, Any]:
        """The next one, within ten seconds."""
        async with asyncio.timeout(10):
            return await self._queue.get()


@pytest.fixture
async def reports(tmp_path: Path) -> AsyncIterator[Reports]:
    """Listens at reports.sock."""
    heard = Reports()
    async with await asyncio.start_unix_server(heard.serve, tmp_path / "reports.sock"):
        yield heard


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """One scheduler and one worker that are no servers, with a database that is one."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    base = [sys.executable, "-I", "-S", str(program)]
    reports = str(tmp_path / "reports.sock")
    logs = tmp_path / "logs"
    logs.mkdir()
    return Setup(
        listen="127.0.0.1:0",
        metrics_listen="127.0.0.1:0",
        workers=1,
        slots=3,
        file_roots=[Path("/media/a"), Path("/media/b")],
        database=find_server(None),
        scheduler=[*base, "scheduler", reports],
        worker=[*base, "worker", reports],
        logs=logs,
    )


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    """A locked data directory."""
    with open_places(tmp_path / "data") as opened:
        yield opened
