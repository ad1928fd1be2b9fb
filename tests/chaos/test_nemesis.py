"""What the nemesis does happens, and is written down; the history and the commit reader tell what is there."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from chaos.rig.fleet import Fleet
from chaos.rig.history import History
from chaos.rig.nemesis import Nemesis, children_of, state_of
from chaos.rig.quiescence import quiesce
from chaos.rig.specs import stand_in_spec
from chaos.rig.stand_in import Behaviour
from support.processes import ffmpeg_children
from support.steady_ports import steady_port
from telecine_client import AsyncClient, Unavailable


async def test_the_rig_tells_what_happens_in_it() -> None:
    """A frozen worker and its FFmpeg are stopped, and go on; quiescence finds a job that does not end, its lease and its
    process, and nothing once it has ended; the history has the call, the start, the end, the commit and the nemesis.
    """
    async with Fleet(1) as fleet:
        await fleet.start(["A"], ["W1"])
        nemesis = Nemesis(fleet)
        async with fleet.client() as client:
            spec = stand_in_spec(fleet.source, fleet.out, "out.mp4", seconds=4)
            await fleet.history.call("submit", "job", client.submit(spec, job_id="job"))
            await fleet.history.call("cancel", "none", client.cancel("none"))
            async with asyncio.timeout(30):
                # Before that there are probes, which end by themselves.
                while not any(event["event"] == "ffmpeg_start" for event in fleet.history.events()):
                    await asyncio.sleep(0.02)
            children = children_of(fleet.child("W1").pid)
            assert children
            nemesis.freeze("W1")
            stopped = [state_of(pid) for pid in (fleet.child("W1").pid, *children)]
            nemesis.thaw_all()
            going = [state_of(pid) for pid in (fleet.child("W1").pid, *children)]
        _, early = await quiesce(fleet, within=0, gone=0)
        jobs, wrong = await quiesce(fleet)
        events = fleet.history.events()

    assert {"T"} == set(stopped)
    assert "T" not in going
    assert "not ended within 0 s: job" in early
    assert [] == wrong
    assert "succeeded" == jobs["job"].state
    assert jobs["job"].committed == (jobs["job"].written_by,)
    assert {"call": 2, "ffmpeg_start": 1, "ffmpeg_stop": 1, "commit": 1, "nemesis": 4} == {
        kind: sum(event["event"] == kind for event in events) for kind in {event["event"] for event in events}
    }
    calls = [event for event in events if event["event"] == "call"]
    assert [("ok", ""), ("refused", "JOB_NOT_FOUND")] == [(call["outcome"], call["reason"]) for call in calls]


async def test_what_is_left_is_found() -> None:
    """A lease, its process and a broken invariant are named."""
    async with Fleet(1) as fleet:
        await fleet.start(["A"], ["W1"])
        async with fleet.client() as client:
            spec = stand_in_spec(fleet.source, fleet.out, "out.mp4", seconds=60, behaviour=Behaviour.DEAF)
            await client.submit(spec, job_id="job")
            async with asyncio.timeout(30):
                while not ffmpeg_children(f"={fleet.tenant}~"):
                    await asyncio.sleep(0.02)
        with fleet.redis() as redis:
            # Nothing that the scheduler would repair.
            redis.hset(f"telecine:{{p0}}:j:{fleet.tenant}:job", "zz", "x" * 65)
        _, wrong = await quiesce(fleet, within=0, gone=1)

    kinds = ["left: lease of", "left: lease set of worker b'W1'", "left: process", "b'zz' is long"]
    assert [] == [kind for kind in kinds if not any(kind in each for each in wrong)]


async def test_the_seed_decides_choices() -> None:
    """The same for the same seed; another tenant for another one."""
    one, same, other = Fleet(7), Fleet(7), Fleet(8)

    assert one.random.random() == same.random.random() != other.random.random()
    assert one.tenant != other.tenant


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    """A writer that was killed within a line takes nobody else's with it."""
    history = History(tmp_path / "history.jsonl")
    history.note("nemesis", action="kill", target="A")
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"event": "ffmpeg_st')
    history.note("nemesis", action="start", target="A")

    assert ["kill", "start"] == [event["action"] for event in history.events()]


async def test_a_call_that_nobody_answers_is_of_unknown_outcome(tmp_path: Path) -> None:
    """Neither acknowledged nor refused."""
    history = History(tmp_path / "history.jsonl")
    async with AsyncClient(f"127.0.0.1:{steady_port()}", timeout=timedelta(seconds=1)) as client:
        answer = await history.call("get", "job", client.get("job"))

    assert isinstance(answer, Unavailable)
    assert [("get", "job", "unknown")] == [(each["call"], each["job"], each["outcome"]) for each in history.events()]
