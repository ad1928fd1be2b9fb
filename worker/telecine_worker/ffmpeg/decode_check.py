"""Whether a finished file decodes without a word of complaint: all of it when it is short, else its edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg.damage import OF_SEEKING
from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.ffmpeg.mismatch import not_as_planned
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Block
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY, Surroundings, run_ffmpeg

WHOLE_DECODE = timedelta(seconds=20)
EDGE_SECONDS = 10
CLOCK = "1:1000000"
# Seeking in these lands between key frames, where a decoder complains about what it has not seen.
SEEKS_INEXACTLY = frozenset({"mpegts"})


def is_short(duration: timedelta | None) -> bool:
    """What is decoded as a whole in any case."""
    return duration is None or duration <= WHOLE_DECODE


def decode_ranges(duration: timedelta | None, container: str, *, whole: bool) -> list[Sequence[str]]:
    """Input options of the parts to decode: one empty list is the whole file."""
    if whole or is_short(duration) or container in SEEKS_INEXACTLY:
        return [()]
    edge = str(EDGE_SECONDS)
    return [("-t", edge), ("-sseof", f"-{edge}")]


async def decode(
    around: Surroundings,
    source: Sequence[str],
    expected: Expected,
    *,
    on_block: Callable[[Block], None],
    on_usage: Callable[[Usage], None],
    cwd: str = "/",
    begins_between: bool = False,
) -> None:
    """Decode what *source* opens: the options of an input, -i and its URL at the end.

    By ffmpeg and not by ffprobe, whose bundled build cannot decode AV1. Any line on standard error is a fault, but with
    *begins_between* those about pictures before its beginning. Raises AttemptFailed VERIFICATION_FAILED; Stopped.
    """
    # What is said again is no line of its own.
    told = ["-loglevel", "repeat+level+error" if begins_between else "level+error"]
    strict = [*ABORT_WHEN_EMPTY, "-xerror", "-max_error_rate", "0"]
    # The clock of an average rate would put two pictures of a variable one at the same time.
    clock = ["-fps_mode", "passthrough", "-enc_time_base:v", CLOCK]
    arguments = (*told, *strict, *source, "-map", "0:v?", "-map", "0:a?", *clock, "-f", "null", "-")
    decoding = replace(around, names={source[-1]: expected.path})
    try:
        ran = await run_ffmpeg(
            decoding, arguments, doing=f"decoding {expected.path}", on_block=on_block, on_usage=on_usage, cwd=cwd
        )
    except AttemptFailed as error:
        if error.failure.kind in (FailureKind.RETRYABLE, FailureKind.CRASH):
            raise
        raise not_as_planned(
            expected, f"it does not decode: {error.failure.message}", error.failure.log_tail
        ) from error
    faults = [line for line in ran.log_lines if not (begins_between and OF_SEEKING.search(line))]
    if faults:
        raise not_as_planned(expected, f"it does not decode cleanly: {faults[0]}", "\n".join(ran.log_lines))
