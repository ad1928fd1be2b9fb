"""Beside the twelve: jobs flow while everything happens at random, one fault every second or so.

SIGKILL of schedulers and workers; SIGSTOP of a worker with its FFmpeg, or of a scheduler, for a while that may be longer
than a TTL; SIGKILL of Redis and its start; SCRIPT FLUSH; CLIENT KILL of every connection to Redis.

PASS: as in scenario 1. A job may be lost to a crash twice, as there.

Long: 200 jobs of 1 to 5 s within 60 s. Short: 12 of up to 1.5 s within 6 s.
"""

from __future__ import annotations

from chaos.rig.flow import Flow, play_flow
from chaos.rig.scenario import Play, Round, Scenario

LONG = Flow(jobs=200, over=60, shortest=1, longest=5, few=20, period=1.5, patience=900)
SHORT = Flow(jobs=12, over=6, shortest=0.3, longest=1.5, few=3, period=1.0)


async def play(how: Play) -> Round:
    """See above."""
    async with how.fleet() as fleet:
        return await play_flow(
            fleet,
            LONG if how.long else SHORT,
            lambda nemesis: [
                nemesis.kill_any, nemesis.freeze_any, nemesis.restart_redis, nemesis.flush_scripts,
                nemesis.kill_connections,
            ],
        )  # fmt: skip


SCENARIO = Scenario(
    number=13, name="mixed_faults", title="every fault at random: nothing lost, nothing doubled", play=play
)
