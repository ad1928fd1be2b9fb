"""Room on the worker's disk: jobs are begun where there is some, and where it runs out one attempt ends instead of all."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.fetching import destinations
from support.worker_bench import Bench, MakeBench, lease
from telecine.v1 import lease_service_pb2 as pb
from telecine_worker import disk_guard as disk_guard_module
from telecine_worker.disk_guard import DiskGuard
from telecine_worker.storage.destinations import Destinations, InputPlaces
from telecine_worker.storage.input_cache import InputCache
from telecine_worker.storage.room import Room
from telecine_worker.storage.threads import Threads

MIB = 1 << 20
GIB = 1 << 30


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets what a disk of 100 GiB has free from now on."""

    def change(bytes_free: int) -> None:
        found = os.statvfs_result(
            (4096, 4096, 100 * GIB // 4096, bytes_free // 4096, bytes_free // 4096, 0, 0, 0, 0, 255)
        )
        monkeypatch.setattr(disk_guard_module.os, "statvfs", lambda _: found)

    change(50 * GIB)
    return change


@pytest.fixture
def outputs(tmp_path: Path) -> Destinations:
    """Below a root on the disk that is watched."""
    return destinations([tmp_path], tmp_path)


@pytest.fixture
def guard(tmp_path: Path, outputs: Destinations) -> Iterator[DiskGuard]:
    """Another job needs 1 GiB."""
    threads = Threads(1)
    yield DiskGuard(
        tmp_path, destinations=outputs, cache=InputCache(tmp_path, 0), threads=threads, reserve_bytes=GIB
    )  # fmt: skip
    threads.close()


def begin(outputs: Destinations, folder: Path, token: int, ended: list[int]) -> Path:
    """An attempt with an output below *folder*; where its FFmpeg writes. Its end is noted in *ended*."""
    destination = outputs.open(
        folder.as_uri(), f"t~job{token}~1~{token}", replace=True, per_attempt=False, allowed=lambda: True,
        end=lambda: ended.append(token), inputs=InputPlaces(),
    )  # fmt: skip
    return Path(destination.staging.cwd).resolve()


async def test_there_is_room_for_what_fits_beside_what_is_to_come(guard, free, tmp_path):
    """What is free, less what stays so, less what fetches still write, less what those need that have only begun."""
    assert (4, None) == (guard.room(4, 0), guard.shortage)
    free(3 * GIB + 512 * MIB)
    await guard.step()
    assert [3, 2, 0, 2] == [guard.room(4, 0), guard.room(4, 1), guard.room(4, 3), guard.room(2, 0)]
    room = Room(tmp_path, "input a")
    with (tmp_path / "file").open("wb") as file:
        room.expect(file.fileno(), GIB)
        await guard.step()
        assert 2 == guard.room(4, 0)
        room.give_back()
    free(GIB)
    await guard.step()
    assert 0 == guard.room(4, 0)
    assert guard.shortage is not None
    assert (
        "has 512 MiB to spare; 1024 MiB are needed for another job (TELECINE_SCRATCH_RESERVE_BYTES)" in guard.shortage
    )


async def test_without_a_reserve_there_is_always_room(tmp_path, outputs, free):
    """Then only the worker's health counts."""
    free(0)
    threads = Threads(1)
    none = DiskGuard(tmp_path, destinations=outputs, cache=InputCache(tmp_path, 0), threads=threads, reserve_bytes=0)
    await none.step()
    threads.close()
    assert (4, None) == (none.room(4, 4), none.shortage)


async def test_the_attempt_that_grows_fastest_ends(guard, outputs, free, tmp_path):
    """Not the largest one; and one at a time: the next look sees what that brought. With room, nobody ends."""
    ended: list[int] = []
    large, fast = (begin(outputs, tmp_path / name, token, ended) for token, name in ((1, "large"), (2, "fast")))
    (large / "out-0.mp4").write_bytes(bytes(400_000))
    await guard.step()
    (large / "out-1.mp4").write_bytes(bytes(100_000))
    (fast / "out-0.mp4").write_bytes(bytes(200_000))
    free(127 * MIB)
    await guard.step()
    assert [2] == ended
    free(129 * MIB)
    await guard.step()
    assert [2] == ended


async def test_who_does_not_grow_is_left_alone(guard, outputs, free, tmp_path):
    """Somebody else fills the disk then, and would go on: ending it would bring nothing for long."""
    ended: list[int] = []
    folder = begin(outputs, tmp_path / "out", 1, ended)
    (folder / "out-0.mp4").write_bytes(bytes(400_000))
    await guard.step()
    free(0)
    await guard.step()
    assert [] == ended


async def test_nobody_else_ends_while_one_is_ending(guard, outputs, free, tmp_path):
    """It frees its room when it has ended; only after that it is seen whether that was enough."""
    ended: list[int] = []
    folders = [begin(outputs, tmp_path / str(token), token, ended) for token in (1, 2)]
    free(0)
    for size in (100_000, 200_000, 300_000):
        for token, folder in enumerate(folders, 1):
            (folder / f"out-{size}.mp4").write_bytes(bytes(size * token))
        await guard.step()
    assert [2] == ended
    outputs.close(next(each for each, output in outputs._open.items() if output.name.endswith("~2")))
    (folders[0] / "more.mp4").write_bytes(bytes(100_000))
    await guard.step()
    assert [2, 1] == ended


async def test_an_attempt_on_another_disk_is_left_alone(guard, outputs, free, tmp_path):
    """What it writes does not fill this one; nor does one that writes nothing, or has ended."""
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system only")
    other = destinations([Path("/dev/shm")], tmp_path)
    object.__setattr__(guard, "_destinations", other)
    ended: list[int] = []
    folder = Path(f"/dev/shm/telecine-test-{os.getpid()}")
    try:
        (begin(other, folder, 1, ended) / "out-0.mp4").write_bytes(bytes(400_000))
        free(0)
        await guard.step()
    finally:
        for destination in list(other._open):
            other.close(destination)
        folder.rmdir()
    assert ([], []) == (ended, other.open_outputs())


async def test_what_is_kept_is_given_up_first(outputs, free, tmp_path, monkeypatch):
    """Before a fetch is refused, or anybody ends."""
    folder = tmp_path / "cache"
    folder.mkdir()
    cache, threads = InputCache(folder, GIB), Threads(1)
    monkeypatch.setattr(cache, "empty", lambda: free(50 * GIB) or True)
    guard = DiskGuard(tmp_path, destinations=outputs, cache=cache, threads=threads, reserve_bytes=GIB)
    ended: list[int] = []
    (begin(outputs, tmp_path / "out", 1, ended) / "out-0.mp4").write_bytes(bytes(400_000))
    free(100 * MIB)
    await guard.step()
    threads.close()
    assert ([], 4) == (ended, guard.room(4, 0))


async def test_a_disk_that_does_not_answer_ends_nobody(guard, monkeypatch):
    """The worker's health says so."""

    def statvfs(_: object) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(disk_guard_module.os, "statvfs", statvfs)
    await guard.step()
    assert 4 == guard.room(4, 0)


async def test_no_more_is_granted_than_there_is_room_for(make_bench: MakeBench, monkeypatch):
    """The credit follows what is free on the disk; a job that has only begun counts, one that has its inputs does not."""
    async with make_bench(4) as bench:
        stream = await bench.scheduler.welcomed()
        disk = bench.holdings._disk
        monkeypatch.setattr(disk, "_reserve_bytes", GIB)
        await _look(bench, monkeypatch, 2 * GIB)
        assert 2 == await stream.credit()
        stream.grant(lease())
        assert pb.Accept.REFUSAL_UNSPECIFIED == (await stream.accept()).refusal
        assert 1 == bench.holdings._disk.room(3, 1)
        await _look(bench, monkeypatch, 9 * GIB)
        # One was received, and three are free.
        assert 4 == await stream.credit()


async def _look(bench: Bench, monkeypatch: pytest.MonkeyPatch, spare: int) -> None:
    """As a step of the guard does that finds so much to spare."""
    monkeypatch.setattr(bench.holdings._disk, "_spare", spare)
    bench.holdings.look_again()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 4 MiB; only root can make one."""
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


async def test_a_real_disk_that_fills_up(small_disk):
    """The attempt that fills it ends, another one does not; when it is gone there is room again."""
    outputs, threads, ended = destinations([small_disk], small_disk), Threads(1), []
    guard = DiskGuard(
        small_disk, destinations=outputs, cache=InputCache(small_disk, 0), threads=threads, reserve_bytes=MIB
    )  # fmt: skip
    still, filling = (begin(outputs, small_disk / name, token, ended) for token, name in ((1, "still"), (2, "filling")))
    (still / "out-0.mp4").write_bytes(bytes(300_000))
    await guard.step()
    assert ([], 3) == (ended, guard.room(4, 0))
    with (filling / "out-0.mp4").open("wb") as file:
        while os.statvfs(small_disk).f_bavail * 4096 > 4 * MIB * 0.01:
            file.write(bytes(4096))
            file.flush()
    await guard.step()
    assert ([2], 0) == (ended, guard.room(4, 0))
    outputs.close(next(each for each in outputs._open if each.staging.token == 2))
    await guard.step()
    assert ([2], 3) == (ended, guard.room(4, 0))
    threads.close()
    for destination in list(outputs._open):
        outputs.close(destination)
