"""One run of ffmpeg: the options of every run, progress on the way, a failure that says why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg import failure_kinds
from telecine_worker.ffmpeg.command import Command
from telecine_worker.ffmpeg.limits import DEFAULT_STALL_TIMEOUT, ended_when_stalled
from telecine_worker.ffmpeg.process import Exit, Usage, running
from telecine_worker.ffmpeg.progress import Block, ProgressParser
from telecine_worker.ffmpeg.stop_order import StopOrder, Stopped
from telecine_worker.ffmpeg.toolchain import Toolchain

REPORT_SECONDS = "0.5"
ABORT_WHEN_EMPTY = ("-abort_on", "empty_output")
"""For runs that write something: without it a file with no frames ends with code 0. The first pass of VP9 writes
nothing.
"""
# -y, never -n: with -n an output that exists ends a run with code 0 and nothing done.
ALWAYS = ("-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+warning")
PROGRESS = ("-progress", "pipe:1", "-stats_period", REPORT_SECONDS, "-y")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all processes of an attempt share. *names* maps the URLs of inputs to what logs and messages call them. The kernel
    ends a process with more CPU time than *cpu_limit*, also when nobody looks any more.
    """

    toolchain: Toolchain
    marker: str
    stop: StopOrder
    stall_timeout: timedelta = DEFAULT_STALL_TIMEOUT
    names: Mapping[str, str] = field(default_factory=dict)
    pass_fds: Sequence[int] = ()
    cpu_limit: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A run that ended with code 0, which does not say that what it made is right. *last* is its last report."""

    usage: Usage
    log_lines: Sequence[str]
    last: Block


async def run_ffmpeg(
    around: Surroundings,
    arguments: Sequence[str],
    *,
    doing: str,
    on_block: Callable[[Block], None],
    on_usage: Callable[[Usage], None],
    on_line: Callable[[str], None] = lambda _: None,
    cwd: str = "/",
) -> Ran:
    """Run ffmpeg with *arguments* after the options of every run; *doing* completes "FFmpeg failed while ...".

    *on_usage* hears what it cost however it ends, *on_line* every line of its log. Raises AttemptFailed; Stopped when
    the order to stop was given.
    """
    seen = [Block()]
    stalled: list[bool] = []

    def take(block: Block) -> None:
        if (block.position, block.frame_count, block.output_size_bytes) != _advance(seen[0]):
            seen[0] = block
        on_block(block)

    argv = (str(around.toolchain.ffmpeg), *ALWAYS, *PROGRESS, *arguments)
    command = Command(
        argv=argv,
        marker=around.marker,
        cwd=cwd,
        pass_fds=around.pass_fds,
        names=around.names,
        on_line=on_line,
        confinement=around.toolchain.confinement,
        cpu_limit=around.cpu_limit,
    )
    async with (
        running(command, on_output=ProgressParser(take).feed, stop=around.stop) as child,
        ended_when_stalled(
            child,
            timeout=around.stall_timeout,
            advanced=lambda: _advance(seen[0]),
            on_stall=lambda: stalled.append(True),
        ),
    ):
        ended = await child.wait()
    on_usage(ended.usage)
    _raise_unless_done(ended, around, doing, stalled=bool(stalled))
    return Ran(usage=ended.usage, log_lines=ended.log_lines, last=seen[0])


def _raise_unless_done(ended: Exit, around: Surroundings, doing: str, *, stalled: bool) -> None:
    if around.stop.given:
        raise Stopped
    if stalled:
        raise stall_failure(ended, around.stall_timeout, doing)
    failure = failure_kinds.failure_of(ended, doing)
    if failure is not None:
        raise failure


def stall_failure(ended: Exit, timeout: timedelta, doing: str) -> AttemptFailed:
    """For a process that was ended because it stalled."""
    return AttemptFailed(
        FailureKind.RETRYABLE,
        "STALLED",
        f"FFmpeg did not advance for {timeout} while {doing}: no progress, no I/O, and no or idle CPU time",
        log_tail=ended.log_tail,
        exit_code=ended.code,
    )


def _advance(block: Block) -> tuple[timedelta | None, int | None, int | None]:
    return block.position, block.frame_count, block.output_size_bytes
