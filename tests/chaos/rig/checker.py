"""Judges a history: what was acknowledged, lost, unexpected, committed twice, recovered. Pure.

After the total-queue checker of Jepsen: a call whose outcome is unknown is a category of its own; its job may be there or not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from chaos.rig.history import Event
from chaos.rig.specs import job_id_of, token_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalJob:
    """A job when all was over.

    *tokens* are those of its attempts as it tells them, *committed* those of the attempts that succeeded. *written_by* is the
    token in the bytes of its artifact; None where there is no artifact of a stand-in.
    """

    state: str
    tokens: tuple[int, ...] = ()
    committed: tuple[int, ...] = ()
    written_by: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """*wrong* is empty when all is well; each entry says what of which job. The sets hold job ids."""

    acknowledged: frozenset[str]
    lost: frozenset[str]
    unexpected: frozenset[str]
    duplicated: frozenset[str]
    recovered: frozenset[str]
    wrong: tuple[str, ...]

    def figures(self) -> dict[str, int]:
        """For the line of a round."""
        return {
            "acknowledged": len(self.acknowledged),
            "lost": len(self.lost),
            "unexpected": len(self.unexpected),
            "duplicated": len(self.duplicated),
            "recovered": len(self.recovered),
        }


def judge(
    history: Sequence[Event], jobs: Mapping[str, FinalJob], *, ends: Collection[str] = ("succeeded",)
) -> Judgement:
    """*jobs* are all that the store lists at the end, by id. Each must have ended in one of the states *ends*."""
    submits = [event for event in history if event["event"] == "call" and event["call"] == "submit"]
    tried = {event["job"] for event in submits}
    acknowledged = frozenset(event["job"] for event in submits if event["outcome"] == "ok")
    unknown = {event["job"] for event in submits if event["outcome"] == "unknown"} - acknowledged
    commits = _commits(history)
    lost = frozenset(job for job in acknowledged if job not in jobs)
    duplicated = frozenset(
        job for job in jobs.keys() | commits.keys() if len(commits[job]) > 1 or len(_committed(jobs.get(job))) > 1
    )
    unexpected = frozenset(jobs.keys() - tried)
    wrong = [f"{job}: acknowledged and lost" for job in sorted(lost)]
    wrong += [f"{job}: nobody submitted it" for job in sorted(unexpected)]
    wrong += [f"{job}: committed more than once" for job in sorted(duplicated)]
    started = _started(history)
    for job, final in sorted(jobs.items()):
        wrong += _of_job(job, final, ends, commits[job], started[job])
    return Judgement(
        acknowledged=acknowledged, lost=lost, unexpected=unexpected, duplicated=duplicated,
        recovered=frozenset(unknown & jobs.keys()), wrong=tuple(wrong),
    )  # fmt: skip


def _of_job(job: str, final: FinalJob, ends: Collection[str], commits: Collection[int], started: set[int]) -> list[str]:
    wrong = []
    if final.state not in ends:
        wrong.append(f"{job}: ended {final.state}, not {' or '.join(ends)}")
    if final.state != "succeeded":
        if commits or final.committed:
            wrong.append(f"{job}: ended {final.state} and was committed")
        return wrong
    if not commits or not final.committed:
        wrong.append(f"{job}: succeeded without a commit")
    newest = max(started | set(final.tokens), default=0)
    for token in final.committed:
        if token != newest:
            wrong.append(f"{job}: token {token} committed, but {newest} was granted later")
        if final.written_by is not None and final.written_by != token:
            wrong.append(f"{job}: token {token} committed, but the artifact is of {final.written_by}")
    return wrong


def _committed(final: FinalJob | None) -> tuple[int, ...]:
    return final.committed if final else ()


def _commits(history: Sequence[Event]) -> defaultdict[str, set[int]]:
    """The revisions with which each job became SUCCEEDED."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for event in history:
        if event["event"] == "commit":
            found[event["job"]].add(event["revision"])
    return found


def _started(history: Sequence[Event]) -> defaultdict[str, set[int]]:
    """The tokens under which each job's FFmpeg was started."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for event in history:
        if event["event"] == "ffmpeg_start":
            found[job_id_of(event["attempt"])].add(token_of(event["attempt"]))
    return found


def executions(history: Sequence[Event]) -> dict[str, int]:
    """How often each job's FFmpeg was started, by job id."""
    counts: defaultdict[str, int] = defaultdict(int)
    for event in history:
        if event["event"] == "ffmpeg_start":
            counts[job_id_of(event["attempt"])] += 1
    return dict(counts)
