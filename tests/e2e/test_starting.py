"""How the processes start, wait, and refuse to start: exit codes and words."""

from __future__ import annotations

import os
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import BIN, System, free_port, wait_until
from support.redis_server import RedisServer


def run(program: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """To its end, which comes soon."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TELECINE_")}
    return subprocess.run(
        [str(BIN / program), *arguments], env=clean | env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def system() -> Iterator[System]:
    with System() as system:
        yield system


@pytest.mark.parametrize(
    ("program", "arguments", "words"),
    [
        ("telecine-scheduler", ["--lease-ttl", "30"], "such as 500ms, 30s"),
        ("telecine-scheduler", ["--listen", "50051"], "HOST:PORT"),
        ("telecine-scheduler", ["--redis-url", "http://localhost"], "redis://"),
        ("telecine-scheduler", ["--priority-aging", "never"], "is no duration"),
        ("telecine-scheduler", ["--durability", "sometimes"], "fsync"),
        ("telecine-scheduler", ["--log-level", "loud"], "must be one of debug"),
        ("telecine-scheduler", ["--no-such-flag"], "No such option"),
        ("telecine-worker", ["--slots", "0"], "1 to 4096"),
        ("telecine-worker", ["--queues", "No Queue"], "TELECINE_QUEUES"),
        ("telecine-worker", ["--file-roots", "relative"], "absolute path"),
        ("telecine-worker", ["--schedulers", "nowhere"], "HOST:PORT"),
        ("telecine-worker", ["--ffmpeg", "/none"], "/none"),
    ],
)
def test_a_wrong_setting_is_named(program: str, arguments: list[str], words: str) -> None:
    """Exit code 2, and what would be right."""
    ran = run(program, *arguments)

    said = " ".join(ran.stderr.replace("│", " ").split())
    assert (2, True) == (ran.returncode, words in said), said


def test_a_flag_wins_over_its_variable() -> None:
    """And the variable over the default."""
    by_variable = run("telecine-worker", TELECINE_SLOTS="0")
    by_flag = run("telecine-worker", "--slots", "-1", TELECINE_SLOTS="0")

    assert (True, True) == ("TELECINE_SLOTS is 0" in by_variable.stderr, "TELECINE_SLOTS is -1" in by_flag.stderr)


def test_an_unfit_store_is_refused(system: System) -> None:
    """The scheduler says what to change, and exits with 2."""
    ran = run(
        "telecine-scheduler", "--redis-url", system.redis.url, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
        TELECINE_DURABILITY="quorum",
    )  # fmt: skip

    assert (2, True) == (ran.returncode, "quorum wants 1 replicas to confirm, and 0 are connected" in ran.stderr)


def test_a_port_that_is_taken_is_named(system: System) -> None:
    """Two schedulers never share a port silently."""
    taken = system.scheduler().start().ready["grpc"]
    ran = run(
        "telecine-scheduler", "--redis-url", system.redis.url, "--listen", taken, "--metrics-listen", "127.0.0.1:0"
    )

    assert (2, True) == (ran.returncode, taken in ran.stderr), ran.stderr


def test_a_scheduler_waits_for_redis() -> None:
    """It is there and not ready, warns about once a second, and gets ready by itself when Redis comes."""
    with tempfile.TemporaryDirectory(prefix="tc") as folder, System() as system:
        late = RedisServer(Path(folder))
        metrics = f"127.0.0.1:{free_port()}"
        scheduler = system.scheduler(TELECINE_REDIS_URL=late.url)
        scheduler.argv += ["--metrics-listen", metrics]
        scheduler.launch()
        wait_until(lambda: scheduler.log.read_text().count("job store unavailable") >= 2, "two warnings")
        warned = scheduler.log.read_text().count("job store unavailable")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://{metrics}/readyz", timeout=5)
        alive = urllib.request.urlopen(f"http://{metrics}/healthz", timeout=5).read()
        late.start()
        try:
            scheduler.wait_ready()
            ready = urllib.request.urlopen(f"http://{metrics}/readyz", timeout=5).read()
            assert 0 == scheduler.stop()
        finally:
            late.stop()

    assert (503, b"ok\n", b"ready\n", True) == (refused.value.code, alive, ready, warned <= 4)
    assert b"waiting for the job store" in refused.value.read()


def test_two_workers_do_not_share_a_work_dir(system: System) -> None:
    """The second one is told to take another."""
    address = system.scheduler().start().ready["grpc"]
    first = system.worker(address, "one").start()
    second = system.worker(address, "two", TELECINE_WORK_DIR=first.env["TELECINE_WORK_DIR"])
    second.launch()

    assert 2 == second.wait()
    assert "TELECINE_WORK_DIR" in second.log.read_text()


def test_a_worker_keeps_the_id_it_made(system: System) -> None:
    """Generated once, kept in the work dir."""
    address = system.scheduler().start().ready["grpc"]
    ids = []
    for _ in range(2):
        worker = system.worker(address, "nameless", TELECINE_WORKER_ID="")
        ids.append(worker.start().ready["worker"])
        assert 0 == worker.stop()

    assert (1, True) == (len(set(ids)), ids[0].startswith("worker-"))


def test_check_says_which_ffmpeg() -> None:
    """One JSON object for other tools."""
    import json

    found = json.loads(run("telecine-worker", "--check").stdout)

    assert {"ffmpeg", "ffprobe", "ffmpeg_version", "capabilities", "sandbox", "sandbox_refusal"} == set(found)
    assert "encoder/libx264" in found["capabilities"]
