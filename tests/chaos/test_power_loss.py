"""The disk that can lose its power: it keeps what was synced, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from chaos.power.disk import Disk, compiler
from support.processes import wait_until
from support.redis_server import RedisServer

pytestmark = pytest.mark.skipif(compiler() is None, reason="the shim needs a C compiler")
Start = Callable[[str], RedisServer]


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    disk = Disk(folder=tmp_path)
    disk.build()
    return disk


@pytest.fixture
def start(disk: Disk, short_folder: Path) -> Iterator[Start]:
    """A server on the disk, by its appendfsync."""
    servers: list[RedisServer] = []

    def start(appendfsync: str) -> RedisServer:
        server = RedisServer(short_folder, appendfsync=appendfsync)
        server.env = disk.env
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a unix socket is short."""
    return tmp_path_factory.mktemp("s")


def connect(server: RedisServer) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(server.socket), socket_timeout=1)


def again(server: RedisServer, disk: Disk) -> int:
    """Kill it, lose power, start it: what the counter says; 0 where it is gone."""
    server.kill()
    disk.lose_power(server.folder)
    server.start()
    with connect(server) as client:
        return int(client.get("counter") or 0)


def test_what_was_synced_stays(disk: Disk, start: Start) -> None:
    """appendfsync always: every write that was answered is there."""
    server = start("always")
    with connect(server) as client:
        for _ in range(100):
            answered = client.incr("counter")

    assert answered == again(server, disk)


def test_what_was_not_synced_is_gone(disk: Disk, start: Start) -> None:
    """appendfsync everysec: writes after the last sync were answered, and are lost with the power."""
    server = start("everysec")
    with connect(server) as client:
        client.incr("counter")
        wait_until(lambda: disk.sync_count(server.folder) and client.incr("counter") > 1, "a sync")
        synced = disk.sync_count(server.folder)
        while disk.sync_count(server.folder) == synced:
            client.incr("counter")
        for _ in range(100):
            answered = client.incr("counter")

    assert 0 < again(server, disk) < answered


def test_a_stopped_disk_acknowledges_nothing(disk: Disk, start: Start) -> None:
    """appendfsync always: whoever writes hears nothing."""
    server = start("always")
    with connect(server) as client:
        client.incr("counter")
        disk.stop()
        with pytest.raises(redis.TimeoutError):
            client.incr("counter")
