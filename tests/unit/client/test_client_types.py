"""What a user's type checker sees of the client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from datetime import timedelta
from telecine_client import AsyncClient, Client, Job, JobState, QueueStats, WatchEvent, Worker, thumbnails

async def use() -> None:
    async with AsyncClient("a:1", tls=True, token="x") as client:
        spec = thumbnails("file:///a", "file:///b", "%d.jpg", count=3, priority=70)
        reveal_type(await client.submit(spec))
        reveal_type(await client.submit_many([spec, ("id", spec)]))
        reveal_type(await client.wait_many(["a"]))
        reveal_type([job async for job in client.list(states=[JobState.QUEUED])])
        reveal_type([event async for event in client.watch_many(all=True)])

def block() -> None:
    with Client(timeout=timedelta(seconds=1)) as client:
        reveal_type(client.submit_batch([{}]))
        reveal_type([worker for worker in client.workers()])
        reveal_type(client.queue_stats())
        client.submit({}, prority=1)
        Client(tls="yes")
"""
REVEALED = (
    "telecine_client.values.Job",
    "list[telecine_client.values.Job]",
    "dict[str, telecine_client.values.Job]",
    "list[telecine_client.values.Job]",
    "list[telecine_client.values.WatchEvent]",
    "list[telecine_client.values.Job]",
    "list[telecine_client.values.Worker]",
    "telecine_client.values.QueueStats",
)


def test_a_users_program_is_checked_with_precise_types(tmp_path: Path) -> None:
    """mypy --strict over a program of a user: every value is what it is, and wrong arguments are found."""
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    config = Path(__file__).parents[3] / "pyproject.toml"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", config, "--follow-imports=silent", file],
        capture_output=True, text=True, timeout=300, cwd=config.parent, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    revealed = [line.partition('Revealed type is "')[2].rstrip('"') for line in lines if "Revealed type" in line]
    assert list(REVEALED) == revealed, done.stdout + done.stderr
    wrong = [line for line in lines if " error: " in line]
    assert 2 == len(wrong), wrong
    assert 'Unexpected keyword argument "prority"' in wrong[0]
    assert 'Argument "tls"' in wrong[1]
