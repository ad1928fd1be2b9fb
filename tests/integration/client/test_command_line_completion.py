"""What the shell is offered, asked as the shells ask."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.client.conftest import ScriptedScheduler, job, serving
from tests.integration.client.test_command_line import environment, run

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2

TELECINE = Path(sys.executable).parent / "telecine"
JOBS = [
    job(3, job_pb2.JOB_STATE_RUNNING, job_id="night-2"),
    job(2, job_pb2.JOB_STATE_FAILED, job_id="night-1"),
    job(1, job_pb2.JOB_STATE_SUCCEEDED, job_id="day-1"),
]


class ListingScheduler(ScriptedScheduler):
    """Has JOBS, and nothing else to say."""

    async def ListJobs(self, request: service_pb2.ListJobsRequest, context: Any) -> service_pb2.ListJobsResponse:  # noqa: N802
        """Those in the states that were asked for."""
        self.requests.append(request)
        return service_pb2.ListJobsResponse(
            jobs=[one for one in JOBS if not request.states or one.state in request.states]
        )


@pytest.fixture
async def listing() -> AsyncIterator[ListingScheduler]:
    script = ListingScheduler()
    async with serving(script):
        yield script


async def complete(line: str, *, address: str = "") -> tuple[list[str], bytes]:
    """What bash is given for the last word of *line*, which it parts as it does."""
    words = line.replace(":", " : ").replace("=", " = ").split(" ")
    words = [word for word in words[:-1] if word] + [words[-1]]
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1), "_TELECINE_COMPLETE": "complete_bash"}
    child = await asyncio.create_subprocess_exec(
        str(TELECINE), stdout=PIPE, stderr=PIPE, env=environment() | asked | {"TELECINE_ADDRESS": address}
    )
    async with asyncio.timeout(30):
        out, err = await child.communicate()
    return out.decode().split(), err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("telecine re", ["retry"]),
        ("telecine list --state c", ["cancelling", "cancelled"]),
        ("telecine list --t", ["--tenant", "--tls", "--token-file"]),
        ("telecine wait --t", ["--timeout", "--tenant", "--tls", "--token-file"]),
        ("telecine get ", ["night-2", "night-1", "day-1"]),
        ("telecine get ni", ["night-2", "night-1"]),
        ("telecine get night-1 ni", ["night-2"]),
        ("telecine cancel ", ["night-2"]),
        ("telecine retry ", ["night-1"]),
        ("telecine delete ", ["night-1", "day-1"]),
    ],
)
async def test_commands_states_and_jobs_are_offered(listing: ListingScheduler, line: str, expected: list[str]) -> None:
    """Of jobs those that the command could take, and that do not stand on the line already."""
    assert (expected, b"") == await complete(line, address=listing.address)


async def test_the_scheduler_and_tenant_of_the_line_are_asked(listing: ListingScheduler) -> None:
    """Wherever the options stand, though bash parts addresses."""
    assert ["night-2"] == (await complete(f"telecine wait --tenant=films --address {listing.address} "))[0]
    assert "films" == listing.requests[-1].tenant


async def test_without_a_scheduler_nothing_is_offered_and_nothing_said() -> None:
    """Within the deadline, on neither output."""
    assert ([], b"") == await complete("telecine get ", address="127.0.0.1:1")
    assert ([], b"") == await complete("telecine get ", address="nowhere")


async def test_the_script_works_in_bash(listing: ListingScheduler) -> None:
    """As --show-completion prints it."""
    shown = await run("--show-completion", "bash")
    assert 0 == shown.code, shown.err
    ask = 'COMP_WORDS=(telecine delete day); COMP_CWORD=2; _telecine_completion telecine; echo "${COMPREPLY[*]}"'
    child = await asyncio.create_subprocess_exec(
        "bash", "-c", "\n".join([*shown.out, ask]), stdout=PIPE, stderr=PIPE,
        env=environment() | {"TELECINE_ADDRESS": listing.address, "PATH": f"{TELECINE.parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, err = await child.communicate()
    assert (b"day-1\n", b"") == (out, err)


async def test_the_script_is_installed_where_the_shell_looks(tmp_path: Path) -> None:
    """Under the home directory, and the shell is told to read it."""
    child = await asyncio.create_subprocess_exec(
        str(TELECINE),
        "--install-completion",
        "bash",
        stdout=PIPE,
        stderr=PIPE,
        env=environment() | {"HOME": str(tmp_path)},
    )
    async with asyncio.timeout(30):
        await child.communicate()
    assert (0, True) == (child.returncode, "telecine.sh" in (tmp_path / ".bashrc").read_text())
