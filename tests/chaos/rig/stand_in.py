"""In the place of FFmpeg: copies its input slowly, prints -progress lines, honours SIGTERM, and behaves as the job says.

The rig writes a copy of this file with a first line that names an interpreter; it runs with the standard library alone. What a
worker asks at its start is answered from what the real FFmpeg answered once. The value of the output option -g says what a
run does (see `Behaviour`), that of -t for how many seconds. Everything else, decoding for verification included, is given to
the real FFmpeg. Every encode writes a line into the history when it begins, and a stand-in's another when it ends by itself.

What it writes is the input with one more box at its end that says which attempt wrote it: no two attempts write the same bytes.
"""

from __future__ import annotations

import enum
import json
import os
import signal
import struct
import sys
import time
from pathlib import Path
from types import FrameType

REPORT_SECONDS = 0.2
STOPPED = 255
FAILED = 1
# What precedes the name of the attempt in the last box.
MARK = b"telecine-attempt "


class Behaviour(enum.StrEnum):
    """Values of -g. Other values are those of a job for the real FFmpeg."""

    COPY = "901"
    DEAF = "902"
    """As COPY, but SIGTERM does nothing."""
    KILL_WORKER = "903"
    """When the time is over it kills its worker by SIGKILL, and so itself."""
    FAIL = "904"
    """When the time is over it fails as from an error of the disk, which is tried again."""


class Places:
    """Where things are: tools/<worker>/ffmpeg is the program, tools/answers and tools/real are beside the workers' folders."""

    def __init__(self, program: Path) -> None:
        self.worker = program.parent.name
        tools = program.parent.parent
        self.answers = tools / "answers"
        self.real = tools / "real"
        self.history = tools / "history.jsonl"

    def note(self, event: str, **fields: object) -> None:
        """One line, written at once: others write into the same file."""
        attempt = os.environ.get("TELECINE_ATTEMPT", "")
        line = {"event": event, "at": time.monotonic(), "worker": self.worker, "pid": os.getpid(), "attempt": attempt}
        with self.history.open("ab", buffering=0) as file:
            file.write(json.dumps(line | fields).encode() + b"\n")


def value_of(arguments: list[str], option: str) -> str:
    """What follows *option*; empty where it is not there."""
    return arguments[arguments.index(option) + 1] if option in arguments else ""


def main(arguments: list[str]) -> int:
    places = Places(Path(sys.argv[0]))
    answer = places.answers / arguments[-1].lstrip("-")
    if answer.is_file() and arguments[-1].startswith("-"):
        sys.stdout.write(answer.read_text())
        return 0
    if "lavfi" in arguments:
        # The trial of encoders, which no job of a stand-in uses.
        return 0
    behaviour = value_of(arguments, "-g")
    encodes = "-progress" in arguments and arguments[-1] != "-"
    if encodes:
        places.note("ffmpeg_start", parent=os.getppid(), real=behaviour not in set(Behaviour))
    if not encodes or behaviour not in set(Behaviour):
        os.execv(places.real, [str(places.real.resolve()), *arguments])
    code = run(Behaviour(behaviour), float(value_of(arguments, "-t")), arguments)
    places.note("ffmpeg_stop", code=code)
    return code


def run(behaviour: Behaviour, seconds: float, arguments: list[str]) -> int:
    """Work for *seconds*; the exit code."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour is Behaviour.DEAF else stop)
    content = Path(value_of(arguments, "-i").removeprefix("file:")).read_bytes()
    content += last_box(MARK + f"{os.environ['TELECINE_ATTEMPT']} {os.getpid()}".encode())
    begun, written = time.monotonic(), 0
    with Path(arguments[-1].removeprefix("file:")).open("wb", buffering=0) as output:
        while written < len(content):
            passed = time.monotonic() - begun
            upto = len(content) if passed >= seconds else int(len(content) * passed / seconds)
            output.write(content[written:upto])
            written = upto
            report(passed, written, last=written == len(content))
            time.sleep(max(0.0, min(REPORT_SECONDS, seconds - passed)))
    if behaviour is Behaviour.KILL_WORKER:
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()
    if behaviour is Behaviour.FAIL:
        sys.stderr.write("[out#0/mp4 @ 0x1] [error] Error writing trailer: Input/output error\n")
        return FAILED
    return 0


def stop(number: int, frame: FrameType | None) -> None:
    """As FFmpeg ends on SIGTERM."""
    raise SystemExit(STOPPED)


def last_box(content: bytes) -> bytes:
    """A box of MP4 that every reader skips."""
    return struct.pack(">I4s", 8 + len(content), b"free") + content


def report(seconds: float, size_bytes: int, *, last: bool) -> None:
    """A block of -progress, at thirty frames a second."""
    word = "end" if last else "continue"
    values = (
        f"frame={int(seconds * 30)}\nfps=30.0\ntotal_size={size_bytes}\nout_time_us={int(seconds * 1e6)}\nspeed=1x\n"
    )
    sys.stdout.write(f"{values}progress={word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:
        # The worker died; so does this.
        os._exit(STOPPED)
