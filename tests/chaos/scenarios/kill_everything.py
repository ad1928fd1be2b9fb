"""Scenario 1: jobs flow while, every two seconds, a scheduler or a worker is killed and started again.

PASS: the acknowledged jobs are those that SUCCEEDED; none lost, none unexpected; each has one committed result, by the newest
token that was granted for it, and its bytes are that attempt's; executions may be doubled, commits not; no FFmpeg is left.

Each job is submitted with an id of its caller until it is acknowledged. The killing goes on until as few jobs are left as can
be done in the 60 s of quiescence. A worker that runs a job which was lost twice already is spared: three crashes on two
workers are POISON, which is promised, too.

Long: 500 jobs of 3 to 8 s within 60 s. Short: 18 of up to 1.5 s within 6 s.
"""

from __future__ import annotations

from chaos.rig.flow import Flow, play_flow
from chaos.rig.scenario import Play, Round, Scenario

LONG = Flow(jobs=500, over=60, shortest=3, longest=8, few=30, patience=1800)
SHORT = Flow(jobs=18, over=6, shortest=0.3, longest=1.5, few=4)


async def play(how: Play) -> Round:
    """See above."""
    async with how.fleet() as fleet:
        return await play_flow(fleet, LONG if how.long else SHORT, lambda nemesis: [nemesis.kill_any])


SCENARIO = Scenario(
    number=1, name="kill_everything", title="SIGKILL schedulers and workers: nothing lost, nothing doubled", play=play
)
