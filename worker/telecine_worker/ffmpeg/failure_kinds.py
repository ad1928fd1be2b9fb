"""Why FFmpeg ended: from its exit code and what it wrote to a kind of failure.

Asked in this order: did we stop it, did a signal end it, does a line match a signature, does the exit code say
anything. Lines come before codes because codes changed their meaning: up to FFmpeg 6 nearly everything is 1; from 7 on
it is the error number modulo 256, with collisions (8 is an unknown option, and an HTTP error).
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from telecine_worker.failure import AttemptFailed, Failure, FailureKind
from telecine_worker.ffmpeg.hardware import FAMILIES
from telecine_worker.ffmpeg.process import Exit
from telecine_worker.sandbox import bubblewrap, launcher


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a way of ending means; *words* end the sentence "FFmpeg ..."."""

    kind: FailureKind
    reason: str
    words: str


@dataclass(frozen=True, slots=True)
class Signature:
    """A verdict for logs in which a line matches *pattern*."""

    pattern: re.Pattern[str]
    verdict: Verdict


_P, _R, _C, _U = FailureKind.PERMANENT, FailureKind.RETRYABLE, FailureKind.CRASH, FailureKind.UNKNOWN

LAUNCH_FAILED = Verdict(_R, "LAUNCH_FAILED", "could not be started")
SANDBOX_FAILED = Verdict(_R, "SANDBOX_FAILED", "could not be confined")
NOT_ALLOWED = Verdict(_P, "INPUT_NOT_ALLOWED", "was given an input that names other files, hosts or formats")
OVER_LIMIT = Verdict(_P, "INPUT_OVER_LIMIT", "was given an input beyond the limits")
NO_SPACE = Verdict(_R, "NO_SPACE", "found no space left on the device")
OUT_OF_MEMORY = Verdict(_R, "OUT_OF_MEMORY", "got no more memory")
IO_ERROR = Verdict(_R, "IO_ERROR", "could not read or write a file")
MISSING_STREAM = Verdict(_P, "INPUT_MISSING_STREAM", "was told to use a stream that the input does not have")
ENCODER_MISSING = Verdict(_P, "ENCODER_MISSING", "does not have an encoder that was asked for")
HARDWARE_FAILED = Verdict(_R, "HARDWARE_FAILED", "could not use the hardware encoder")
OPTION_INVALID = Verdict(_P, "OPTION_INVALID", "refused its options")
INVALID = Verdict(_P, "INPUT_INVALID", "could not read the input as media")
TRUNCATED = Verdict(_P, "INPUT_TRUNCATED", "found the input cut short")
DAMAGED = Verdict(_P, "INPUT_DAMAGED", "found the input damaged")
NOT_COPYABLE = Verdict(
    _P, "INPUT_INVALID", "could not copy a packet of the input as it is, where encoding would be right,"
)
OUTPUT_EMPTY = Verdict(_P, "OUTPUT_EMPTY", "had nothing to write: nothing of the input was in the wanted part")
OUTPUT_TOO_LARGE = Verdict(_P, "OUTPUT_TOO_LARGE", "wrote more than a file may have")
NOT_WRITABLE = Verdict(_P, "OUTPUT_NOT_WRITABLE", "may not open a file that it was given")
STAGING_LOST = Verdict(_R, "STAGING_LOST", "found a file or folder gone that it was given")
CPU_LIMIT = Verdict(_P, "CPU_LIMIT", "used more CPU time than it may")
CRASHED = Verdict(_C, "FFMPEG_CRASHED", "was ended by a signal that was not ours")
INTERRUPTED = Verdict(_C, "FFMPEG_CRASHED", "was asked to stop by a signal that was not ours")
UNKNOWN = Verdict(_U, "FFMPEG_FAILED", "failed")

DAMAGE = frozenset({INVALID.reason, TRUNCATED.reason, DAMAGED.reason, OUTPUT_EMPTY.reason, OPTION_INVALID.reason})
"""Reasons that are about what is in the input, for a run that measures just that: its options are ours, so what filters refuse
is the input's, too.
"""

_FAMILIES = "|".join(family.suffix for family in FAMILIES)
# The first that matches decides: what names a cause stands before what only follows from it.
SIGNATURES: tuple[Signature, ...] = tuple(
    Signature(re.compile(pattern), verdict)
    for pattern, verdict in (
        (
            r"not on whitelist|not in allowed_(segment_)?extensions|Unsafe file name"
            r"|Not detecting m3u8/hls with non standard extension",
            NOT_ALLOWED,
        ),
        (
            # Said by what drives graphics hardware, it is about that, and not about files or this machine's memory.
            rf"^(?:\[[^\]]*\] )*?\[(?:[^\]]*/)?(?:\w+_(?:{_FAMILIES})|AVHW\w+|Parsed_hwupload_\d+)(?: @[^\]]*)?\] "
            r"\[(?:error|fatal)\] .*(?:Input/output error|Cannot allocate memory|Operation not permitted|Permission denied"
            r"|Broken pipe|No such file or directory)",
            HARDWARE_FAILED,
        ),
        (r"exceeds specified max|exceeds max_streams|Picture size .* is invalid", OVER_LIMIT),
        (r"No space left on device|Disk quota exceeded", NO_SPACE),
        (r"File too large", OUTPUT_TOO_LARGE),
        (r"Cannot allocate memory|malloc of size .* failed", OUT_OF_MEMORY),
        (
            r"Cannot load libcuda|No VA display found|Device creation failed|does not support the VK_KHR_video_encode"
            r"|Could not find a valid device|OpenEncodeSessionEx failed|No capable devices found"
            r"|Error (creating a|initializing an internal) MFX session|Failed to set value .* for option 'init_hw_device'",
            HARDWARE_FAILED,
        ),
        (
            r"Can't write packet with unknown timestamp|Error applying bitstream filters to an output packet",
            NOT_COPYABLE,
        ),
        (r"matches no streams|does not contain any stream|Invalid input file index", MISSING_STREAM),
        (r"Unknown encoder", ENCODER_MISSING),
        (
            r"Unrecognized option|Option .* not found|No such filter|Error parsing options|Undefined constant"
            r"|Unable to (find a suitable|choose an) output format|(width|height) not divisible by 2"
            r"|are supported for WebM|Could not write header|Invalid (size|argument) .*|Error (applying|setting) option"
            r"|Error initializing (the )?(filter|simple)|Error opening (output )?encoder|Error while opening encoder"
            r"|Invalid (duration specification|frame size|framerate value|encoder type)|Unknown input format"
            r"|Unknown pixel format requested|Requested output format|Bitstream filter not found|Error reading log file"
            r"|Error parsing (a )?filter|Error when evaluating the expression|Automatic encoder selection failed",
            OPTION_INVALID,
        ),
        # Of a file that is open already: a disk failed, and what looks like damage followed.
        # Of one that is being opened, it may be said of a cut header.
        (r"Error during demuxing: Input/output error", IO_ERROR),
        (r"moov atom not found|EBML header parsing failed|Invalid UTF-8 in decoded subtitles text", INVALID),
        (
            r"partial file|Stream ends prematurely|File ended prematurely|Truncating packet of size",
            TRUNCATED,
        ),
        (
            r"corrupt input packet|Invalid NAL unit size|corrupt decoded frame|Error while decoding stream"
            r"|decode_frame\(\) failed|Error (submitting|processing) packet (to|in) (the )?decoder|Decoding error:"
            r"|Decode error rate|Input buffer exhausted|channel element .* is not allocated",
            DAMAGED,
        ),
        (
            r"Invalid data found when processing input"
            # Of attached files, such as fonts, FFmpeg says so whatever else happens.
            r"|[Cc]ould not find codec parameters(?! for stream \d+ \(Attachment)"
            r"|Cannot determine format of input stream",
            INVALID,
        ),
        # After damage: a decoder that errs may suddenly have 38 channels, for one.
        (r"Error reinitializing filters", OPTION_INVALID),
        (r"Output file is empty|Nothing was written into output file|Empty output", OUTPUT_EMPTY),
        (r"No such file or directory", STAGING_LOST),
        (r"Is a directory|Permission denied|Read-only file system|Operation not permitted", NOT_WRITABLE),
        (r"Input/output error|Broken pipe", IO_ERROR),
    )
)

# (-AVERROR) modulo 256, FFmpeg 7 and newer; 69 is the decode error rate, in all versions.
CODES: dict[int, Verdict] = {
    69: DAMAGED,
    134: NO_SPACE,
    183: INVALID,
    224: IO_ERROR,
    228: NO_SPACE,
    229: OUTPUT_TOO_LARGE,
    234: OPTION_INVALID,
    244: OUT_OF_MEMORY,
    251: IO_ERROR,
    # Of SIGTERM, SIGINT and SIGXCPU, which FFmpeg does not tell apart; with words on standard error it is "not permitted".
    255: INTERRUPTED,
}
# What FFmpeg ends with when it is asked to stop; and, from 7 on, when something is not permitted.
_ASKED_TO_STOP = 255
_NOT_PERMITTED = re.compile(r"Operation not permitted")

SIGNALS: dict[int, Verdict] = {signal.SIGXFSZ: OUTPUT_TOO_LARGE, signal.SIGXCPU: CPU_LIMIT}

_LEVEL = re.compile(r"^(\[[^\]]*\] )*(\[(error|fatal)\] )")
_TAGS = re.compile(r"^(\[[^\]]*\] )+")
_LIST = re.compile(r"(not on whitelist) '.*")
# Below a warning FFmpeg repeats what a file says of itself: a title may read as a failure. Such texts go on in lines without a
# level, which are indented; the libraries of encoders write without a level, too.
_CHATTER = re.compile(r"^\s|^(?:\[(?!(?:panic|fatal|error|warning)\])[^\]]*\] )*\[(?:info|verbose|debug|trace)\]")


def verdict_of(code: int, lines: Sequence[str]) -> tuple[Verdict, str]:
    """What an end means that was not asked for, and the line that says so; the last error when no line is known.

    The launcher is believed only where nothing but itself has spoken: texts of a media file reach the log, too.
    """
    if code < 0 or code - 128 in _FATAL_SIGNALS:
        number = -code if code < 0 else code - 128
        return SIGNALS.get(number, CRASHED), _signal_name(number)
    if code == _ASKED_TO_STOP and not any(_NOT_PERMITTED.search(line) and _LEVEL.match(line) for line in lines):
        return INTERRUPTED, ""
    if len(lines) == 1 and (starting := _starting_verdict(code, lines[0])) is not None:
        return starting, lines[0]
    heard = [line for line in lines if not _CHATTER.match(line)]
    for signature in SIGNATURES:
        for line in heard:
            if signature.pattern.search(line):
                return signature.verdict, words(line)
    return CODES.get(code, UNKNOWN), last_error(lines)


def _starting_verdict(code: int, line: str) -> Verdict | None:
    """Where FFmpeg never ran, and *line* is all that was said."""
    if code == launcher.EXIT_CODE and line.startswith(launcher.WORDS):
        return SANDBOX_FAILED if line.startswith(launcher.SANDBOX_WORDS) else LAUNCH_FAILED
    return SANDBOX_FAILED if code == bubblewrap.EXIT_CODE and line.startswith(bubblewrap.WORDS) else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        # One of the real-time signals, which have no names.
        return f"signal {number}"


def is_interruption(failure: Failure) -> bool:
    """Whether FFmpeg was asked to stop by somebody else, as whoever ends the worker's whole group of processes does."""
    asked = failure.exit_code in (_ASKED_TO_STOP, -signal.SIGTERM, -signal.SIGINT)
    return asked and failure.kind is FailureKind.CRASH


def sounds_damaged(lines: Sequence[str]) -> bool:
    """Whether FFmpeg complained about what it read."""
    damage = (signature for signature in SIGNATURES if signature.verdict in (INVALID, TRUNCATED, DAMAGED, IO_ERROR))
    return any(_LEVEL.match(line) and signature.pattern.search(line) for signature in damage for line in lines)


CUT_SHORT = re.compile(r"File ended prematurely|Stream ends prematurely|partial file")
"""What FFmpeg says of an input that ends early, where it ends with code 0."""
# FFmpeg 5 ends with code 0 though its last words could not be written, and all of them though an input could not be read on.
_LAST_WORDS = re.compile(r"Error (writing trailer|closing file)|: Input/output error")
_OF_FILES = frozenset({NO_SPACE.reason, OUTPUT_TOO_LARGE.reason, IO_ERROR.reason})


def hidden_verdict(lines: Sequence[str]) -> tuple[Verdict, str] | None:
    """What the log of a run says that ended with code 0 and failed all the same; None: it did not."""
    for line in lines:
        if _LEVEL.match(line) and _LAST_WORDS.search(line):
            verdict, said = verdict_of(0, [line])
            if verdict.reason in _OF_FILES:
                return verdict, said
    return None


# What a wrapper such as bwrap or a shell makes of a signal: 128 + number. Other numbers there are FFmpeg's own codes,
# as is that of SIGABRT: 134 is also a full disk quota.
_FATAL_SIGNALS = frozenset({signal.SIGILL, signal.SIGFPE, signal.SIGKILL, signal.SIGSEGV})


def words(line: str) -> str:
    """*line* without the tags of component and level."""
    return _LIST.sub(r"\1", _TAGS.sub("", line)).strip()[:300]


def last_error(lines: Iterable[str]) -> str:
    """FFmpeg's own words: the last line marked as an error, else the last line; empty when it said nothing."""
    last, marked = "", ""
    for line in lines:
        last = line
        if _LEVEL.match(line):
            marked = line
    return words(marked or last)


def failure_of(ended: Exit, doing: str) -> AttemptFailed | None:
    """The failure of a process that ended by itself while *doing* ("encoding", "checking out.mp4"); None: it did well."""
    found = hidden_verdict(ended.log_lines) if ended.code == 0 else verdict_of(ended.code, ended.log_lines)
    if ended.out_of_memory:
        found = OUT_OF_MEMORY, "its control group had no more"
    if found is None:
        return None
    verdict, said = found
    quoted = f": {said}" if said else f" (exit code {ended.code})"
    message = f"FFmpeg {verdict.words} while {doing}{quoted}"
    return AttemptFailed(verdict.kind, verdict.reason, message, log_tail=ended.log_tail, exit_code=ended.code)
