"""Ways in which FFmpeg fails, each with its command and what is to be made of it.

`record_corpus.py` runs them all and keeps what FFmpeg wrote in corpus/; `test_corpus_media.py` runs the cheap ones again
on the FFmpeg under test; tests/unit/worker/test_failure_corpus.py classifies what was kept.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from telecine_worker.failure import FailureKind
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.command import Command
from telecine_worker.ffmpeg.process import Exit, Usage, running
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY, ALWAYS, PROGRESS
from telecine_worker.ffmpeg.stop_order import StopOrder

CORPUS = Path(__file__).parent / "corpus"
BY_HAND = "by hand"
P, R, C, U = FailureKind.PERMANENT, FailureKind.RETRYABLE, FailureKind.CRASH, FailureKind.UNKNOWN
# FFmpeg never needs so long for any of these; one that does is broken.
SECONDS = 60
_LONGEST_LOG = 40

_LIMITED = """
import os, resource, signal, sys
number, soft, hard, *argv = sys.argv[1:]
resource.setrlimit(int(number), (int(soft), int(hard)))
# Python ignores it, and what is ignored stays so.
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.execv(argv[0], argv)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """*command* follows the options of every run; "INPUT" stands for those before an input. *limit* is a resource with its soft
    and hard limit, *sent* a signal from outside. *missing* has the major versions that do not fail so. *by_hand* is a log that
    cannot be had on an ordinary machine, with the exit code. *slow* ones are not run again by tests.
    """

    name: str
    kind: FailureKind
    reason: str
    command: str = ""
    limit: tuple[int, int, int] | None = None
    sent: signal.Signals | None = None
    program: str = ""
    missing: tuple[int, ...] = ()
    by_hand: tuple[int, str] | None = None
    slow: bool = False


def _damaged(name: str, kind: FailureKind, reason: str, source: str, **rest: object) -> Case:
    """Decoding *source*, which ends at the first error."""
    command = f"-xerror -max_error_rate 0 INPUT -i {source} -map 0 -f null -"
    return Case(name=name, kind=kind, reason=reason, command=command, **rest)  # type: ignore[arg-type]


def _option(name: str, options: str, reason: str = "OPTION_INVALID", **rest: object) -> Case:
    """Encoding a good film with *options*."""
    command = f"INPUT -i film {options}"
    return Case(name=name, kind=P, reason=reason, command=command, **rest)  # type: ignore[arg-type]


def _signal(number: signal.Signals) -> Case:
    command = "-f lavfi -i testsrc2 -f null -"
    return Case(name=number.name.lower(), kind=C, reason="FFMPEG_CRASHED", command=command, sent=number)


_DASH = b"""<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011"></MPD>
"""
_SDP = b"""v=0
o=- 0 0 IN IP4 127.0.0.1
s=x
c=IN IP4 127.0.0.1
t=0 0
m=video 5004 RTP/AVP 96
a=rtpmap:96 H264/90000
"""
_X264 = "-map 0:v -c:v libx264 -preset ultrafast"

CASES: tuple[Case, ...] = (
    # What is no media, or not all of it.
    _damaged("empty-file", P, "INPUT_INVALID", "empty"),
    _damaged("text-file", P, "INPUT_INVALID", "text"),
    _damaged("noise", P, "INPUT_INVALID", "noise"),
    _damaged("no-moov", P, "INPUT_INVALID", "no-moov"),
    _damaged("no-ebml", P, "INPUT_INVALID", "no-ebml"),
    _damaged("no-packets", P, "INPUT_TRUNCATED", "header"),
    _damaged("half-mp4", P, "INPUT_DAMAGED", "half-mp4"),
    _damaged("half-ts", P, "INPUT_DAMAGED", "half-ts", missing=(9,)),
    _damaged("half-flac", P, "INPUT_DAMAGED", "half-flac"),
    _damaged("hurt-h264", P, "INPUT_DAMAGED", "hurt-mp4"),
    _damaged("hurt-aac", P, "INPUT_DAMAGED", "hurt-m4a"),
    _damaged("hurt-mpeg2", P, "INPUT_DAMAGED", "hurt-mpg"),
    _damaged("zeroed-h264", P, "INPUT_DAMAGED", "zeroed"),
    # Streams that are not there.
    Case(name="no-video", kind=P, reason="INPUT_MISSING_STREAM", command="INPUT -i tone -map 0:v:0 -f null -"),
    Case(name="no-subtitles", kind=P, reason="INPUT_MISSING_STREAM", command="INPUT -i film -map 0:s -f null -"),
    Case(name="no-such-input", kind=P, reason="INPUT_MISSING_STREAM", command="INPUT -i film -map 3:v -f null -"),
    Case(name="nothing-left", kind=P, reason="INPUT_MISSING_STREAM", command="INPUT -i tone -vn -an -f null -"),
    Case(
        name="filter-without-stream",
        kind=P,
        reason="INPUT_MISSING_STREAM",
        command="INPUT -i tone -filter_complex [0:v]null[v] -map [v] -f null -",
    ),
    # Inputs that name others, or are beyond the limits.
    Case(name="hls-as-mp4", kind=P, reason="INPUT_NOT_ALLOWED", command="INPUT -i hls -f null -"),
    Case(name="concat-as-mp4", kind=P, reason="INPUT_NOT_ALLOWED", command="INPUT -i concat -f null -"),
    Case(name="dash-as-mp4", kind=P, reason="INPUT_NOT_ALLOWED", command="INPUT -i dash -f null -"),
    Case(name="sdp-as-mp4", kind=P, reason="INPUT_NOT_ALLOWED", command="INPUT -i sdp -f null -"),
    Case(name="http", kind=P, reason="INPUT_NOT_ALLOWED", command="INPUT -i http://127.0.0.1:9/x -f null -"),
    Case(name="concat-protocol", kind=P, reason="INPUT_NOT_ALLOWED", command="INPUT -i concat:film -f null -"),
    Case(name="codec-not-listed", kind=P, reason="INPUT_NOT_ALLOWED", command="INPUT -i magic -f null -"),
    Case(
        name="too-many-pixels",
        kind=P,
        reason="INPUT_OVER_LIMIT",
        command="INPUT -max_pixels 10000000 -i bomb -f null -",
    ),
    Case(name="impossible-size", kind=P, reason="INPUT_OVER_LIMIT", command="INPUT -i impossible -f null -"),
    Case(
        name="too-many-streams",
        kind=P,
        reason="INPUT_OVER_LIMIT",
        command="INPUT -max_streams 2 -i streams -map 0 -f null -",
        missing=(9,),
    ),
    # Options, encoders, filters, containers.
    _option("unknown-option", "-nothing 1 -f null -"),
    _option("bad-number", f"{_X264} -b:v many -f null -"),
    _option("bad-time", f"{_X264} -t soon -f null -"),
    _option("bad-size", f"{_X264} -s big -f null -"),
    _option("bad-rate", f"{_X264} -r fast -f null -"),
    _option("bad-pixel-format", f"{_X264} -pix_fmt nothing -f null -"),
    _option("bad-preset", "-map 0:v -c:v libx264 -preset nothing -f null -"),
    _option("bad-tune", "-map 0:v -c:v libx264 -tune nothing -f null -"),
    _option("bad-profile", f"{_X264} -profile:v nothing -f null -"),
    _option("profile-and-format", f"{_X264} -profile:v baseline -pix_fmt yuv444p -f null -"),
    _option("crf-out-of-range", "-map 0:v -c:v libsvtav1 -crf 99 -f null -"),
    _option("odd-size", f"{_X264} -vf scale=63:33 -pix_fmt yuv420p -f null -"),
    _option("no-statistics", f"{_X264} -b:v 100k -pass 2 -f null -"),
    _option("vp9-no-statistics", "-map 0:v -c:v libvpx-vp9 -b:v 100k -pass 2 -f null -"),
    _option("unknown-encoder", "-map 0:v -c:v libnothing -f null -", "ENCODER_MISSING"),
    _option("encoder-of-other-type", "-map 0:v -c:v aac -f null -", "OPTION_INVALID"),
    _option("opus-bitrate", "-map 0:a -c:a libopus -b:a 1 -f null -"),
    _option("mp3-rate", "-map 0:a -c:a libmp3lame -ar 7000 -f null -"),
    _option("mp3-channels", "-map 0:a -c:a libmp3lame -ac 6 -f null -"),
    _option("ac3-channels", "-map 0:a -c:a ac3 -channel_layout 7.1 -f null -"),
    _option("no-such-filter", f"{_X264} -vf nothing -f null -"),
    _option("filter-option", f"{_X264} -vf scale=nothing=1 -f null -"),
    _option("filter-expression", f"{_X264} -vf scale=w=nothing:h=2 -f null -"),
    _option("filter-value", f"{_X264} -vf fps=-1 -f null -"),
    _option("filter-graph", f"{_X264} -vf scale=2:2[ -f null -"),
    _option("filter-of-other-type", f"{_X264} -vf volume=2 -f null -"),
    _option("filter-size", f"{_X264} -vf scale=100000:100000 -f null -", "INPUT_OVER_LIMIT"),
    _option("crop-too-large", f"{_X264} -vf crop=9999:9999 -f null -"),
    _option("unknown-extension", f"{_X264} out.nothing"),
    _option("unknown-muxer", f"{_X264} -f nothing out.mp4"),
    _option("codec-not-in-webm", f"{_X264} -f webm out.webm"),
    _option("codec-not-in-mp3", f"{_X264} -f mp3 out.mp3"),
    _option("codec-not-in-mp4", "-map 0:a -c:a pcm_u8 -f ipod out.m4a"),
    _option("two-streams-in-wav", "-map 0:a -map 0:a -f wav out.wav"),
    _option("unknown-bitstream-filter", f"{_X264} -bsf:v nothing -f null -"),
    Case(name="unknown-demuxer", kind=P, reason="OPTION_INVALID", command="-f nothing -i film -f null -"),
    # Hardware that is not there.
    Case(
        name="no-nvidia", kind=R, reason="HARDWARE_FAILED", command="INPUT -i film -map 0:v -c:v h264_nvenc -f null -"
    ),
    Case(
        name="no-vaapi",
        kind=R,
        reason="HARDWARE_FAILED",
        command="-vaapi_device /dev/dri/renderD128 INPUT -i film -map 0:v -vf format=nv12,hwupload -c:v h264_vaapi -f null -",
    ),
    # What is written.
    Case(name="past-the-end", kind=P, reason="OUTPUT_EMPTY", command="EMPTY -ss 100 INPUT -i film -f mp4 out.mp4"),
    Case(
        name="no-frames", kind=P, reason="OUTPUT_EMPTY", command="EMPTY INPUT -i film -map 0:v -vf select=0 -f null -"
    ),
    Case(name="disk-full-ts", kind=R, reason="NO_SPACE", command=f"INPUT -i film {_X264} -f mpegts file:/dev/full"),
    Case(name="disk-full-mp4", kind=R, reason="NO_SPACE", command=f"INPUT -i film {_X264} -f mp4 file:/dev/full"),
    Case(name="disk-full-mkv", kind=R, reason="NO_SPACE", command=f"INPUT -i film {_X264} -f matroska file:/dev/full"),
    Case(
        name="disk-full-png",
        kind=R,
        reason="NO_SPACE",
        command="INPUT -i film -frames:v 1 -c:v png -f image2 -update 1 file:/dev/full",
    ),
    Case(
        name="disk-quota",
        kind=R,
        reason="NO_SPACE",
        by_hand=(134, "[out#0/mp4 @] [error] Error writing trailer: Disk quota exceeded"),
    ),
    Case(name="input-gone", kind=R, reason="STAGING_LOST", command="INPUT -i nothing.mp4 -f null -"),
    Case(name="folder-gone", kind=R, reason="STAGING_LOST", command=f"INPUT -i film {_X264} -f mp4 file:gone/out.mp4"),
    Case(name="is-a-folder", kind=P, reason="OUTPUT_NOT_WRITABLE", command=f"INPUT -i film {_X264} -f mp4 file:."),
    Case(
        name="read-only",
        kind=P,
        reason="OUTPUT_NOT_WRITABLE",
        by_hand=(226, "[out#0/mp4 @] [error] Error opening output file:out-0.mp4: Read-only file system"),
    ),
    # Whoever may open it, which root may everywhere and another user for itself: nothing is ever written at its address 0.
    Case(name="write-error", kind=R, reason="IO_ERROR", command=f"INPUT -i film {_X264} -f mpegts file:/proc/self/mem"),
    Case(name="read-error", kind=R, reason="IO_ERROR", command="INPUT -i file:/proc/self/mem -f null -"),
    Case(
        name="broken-pipe",
        kind=R,
        reason="IO_ERROR",
        by_hand=(224, "[error] av_interleaved_write_frame(): Broken pipe"),
    ),
    # Limits of the system, and signals.
    Case(
        name="file-size",
        kind=P,
        reason="OUTPUT_TOO_LARGE",
        command=f"INPUT -i film {_X264} -f mpegts out.ts",
        limit=(resource.RLIMIT_FSIZE, 5000, 5000),
    ),
    Case(
        name="file-too-large",
        kind=P,
        reason="OUTPUT_TOO_LARGE",
        by_hand=(0, "[error] Error closing file out.ts: File too large"),
    ),
    Case(
        name="cpu-time-to-the-end",
        kind=P,
        reason="CPU_LIMIT",
        by_hand=(-signal.SIGXCPU, ""),
    ),
    Case(
        name="cpu-time",
        kind=C,
        reason="FFMPEG_CRASHED",
        command="-f lavfi -i testsrc2=s=1920x1080 -f null -",
        limit=(resource.RLIMIT_CPU, 1, 60),
        slow=True,
    ),
    Case(
        name="memory",
        kind=R,
        reason="OUT_OF_MEMORY",
        command="-f lavfi -i color=s=8192x8192 -frames:v 9 -vf tile=3x3 -f null -",
        limit=(resource.RLIMIT_AS, 900 << 20, 900 << 20),
        slow=True,
    ),
    *(
        _signal(number)
        for number in (
            signal.SIGSEGV,
            signal.SIGKILL,
            signal.SIGABRT,
            signal.SIGBUS,
            signal.SIGILL,
            signal.SIGFPE,
            signal.SIGHUP,
            signal.SIGQUIT,
            signal.SIGTERM,
            signal.SIGINT,
            signal.SIGXCPU,
        )
    ),
    Case(
        name="sigxfsz", kind=P, reason="OUTPUT_TOO_LARGE", command="-f lavfi -i testsrc2 -f null -", sent=signal.SIGXFSZ
    ),
    Case(name="no-program", kind=R, reason="LAUNCH_FAILED", command="-f null -", program="/nonexistent/ffmpeg"),
)


async def run(case: Case, ffmpeg: Path, folder: Path) -> Exit:
    """The end of *case* in *folder*, where :func:`make_sources` was."""
    before = " ".join(whitelists.BEFORE_INPUT)
    words = case.command.replace("INPUT", before).replace("EMPTY", " ".join(ABORT_WHEN_EMPTY)).split()
    argv = [case.program or str(ffmpeg), *ALWAYS, *PROGRESS, *words]
    if case.limit is not None:
        argv = [sys.executable, "-I", "-S", "-c", _LIMITED, *map(str, case.limit), *argv]
    begun = asyncio.Event()
    command = Command(argv=argv, marker=f"corpus-{os.getpid()}", cwd=str(folder))
    async with asyncio.timeout(SECONDS), running(command, on_output=lambda _: begun.set(), stop=StopOrder()) as child:
        if case.sent is not None:
            await begun.wait()
            os.kill(child.pid, case.sent)
        return await child.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A file of the corpus: how it ended, and the lines of its log. *build* is "5.1", "9.0" or "by hand"."""

    name: str
    build: str
    command: str
    code: int
    lines: tuple[str, ...] = field(default_factory=tuple)

    @property
    def ended(self) -> Exit:
        """As the process would have told it."""
        tail = "\n".join(self.lines)
        return Exit(code=self.code, stopped=False, usage=Usage(), log_lines=self.lines, log_tail=tail)

    def write(self, path: Path) -> None:
        """Two lines of header, an empty one, the log."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join((f"command: {self.command}", f"code: {self.code}", "", *self.lines)) + "\n")

    @classmethod
    def read(cls, path: Path) -> Recorded:
        """What :meth:`write` wrote."""
        head, _, log = path.read_text().partition("\n\n")
        values = dict(line.split(": ", 1) for line in head.splitlines())
        lines = tuple(log.splitlines())
        return cls(
            name=path.stem, build=path.parent.name, command=values["command"], code=int(values["code"]), lines=lines
        )


def recorded(case: Case, build: str, ended: Exit) -> Recorded:
    """The end of *case*, as it is kept."""
    lines = ended.log_lines
    half = _LONGEST_LOG // 2
    kept = lines if len(lines) <= _LONGEST_LOG else (*lines[:half], *lines[-half:])
    return Recorded(name=case.name, build=build, command=case.command, code=ended.code, lines=tuple(kept))


def make_sources(ffmpeg: Path, folder: Path) -> None:
    """Everything that the commands read."""

    def make(name: str, muxer: str, *arguments: str) -> bytes:
        argv = [str(ffmpeg), "-nostdin", "-v", "error", "-y", *arguments, "-f", muxer, f"file:{folder / name}"]
        subprocess.run(argv, check=True, timeout=SECONDS)
        return (folder / name).read_bytes()

    picture = ("-f", "lavfi", "-i", "testsrc2=s=128x96:r=25:d=2")
    tone = ("-f", "lavfi", "-i", "sine=r=48000:d=2")
    h264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "10")
    film = make("film", "mp4", *picture, *tone, *h264, "-c:a", "aac", "-movflags", "+faststart")
    late = make("late", "mp4", *picture, *h264)
    mkv = make("film-mkv", "matroska", "-i", str(folder / "film"), "-c", "copy")
    ts = make("film-ts", "mpegts", "-i", str(folder / "film"), "-c", "copy")
    m4a = make("film-m4a", "ipod", *tone, "-c:a", "aac", "-movflags", "+faststart")
    mpg = make("film-mpg", "mpeg", *picture, "-c:v", "mpeg2video", "-q:v", "3")
    flac = make("film-flac", "flac", *tone, "-c:a", "flac")
    make("tone", "wav", *tone)
    make("magic", "matroska", *picture, "-c:v", "magicyuv", "-pix_fmt", "gbrp")
    make("streams", "matroska", *tone, *("-map", "0", "-map", "0", "-map", "0", "-map", "0"), "-c:a", "flac")
    written: Mapping[str, bytes] = {
        "empty": b"",
        "text": b"no media at all\n" * 100,
        "noise": random.Random(1).randbytes(5000),
        "no-moov": late[: late.index(b"moov") - 4][:8000],
        "no-ebml": b"\x1a\x45\xdf\xa3" + random.Random(2).randbytes(2000),
        "header": mkv[:300],
        "half-mp4": film[: len(film) // 2],
        "half-ts": ts[: len(ts) // 2 + 7],
        "half-flac": flac[: len(flac) // 2 + 5],
        "hurt-mp4": hurt(film, film.index(b"mdat") + 4, 200),
        "hurt-m4a": hurt(m4a, m4a.index(b"mdat") + 4, 200),
        "hurt-mpg": hurt(mpg, 500, 200),
        "zeroed": film[: film.index(b"mdat") + 4] + bytes(len(film) - film.index(b"mdat") - 4),
        "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfilm\n#EXT-X-ENDLIST\n",
        "concat": b"ffconcat version 1.0\nfile film\n",
        "dash": _DASH,
        "sdp": _SDP,
        "bomb": png_of(15000, 15000),
        "impossible": png_of(40000, 40000),
    }  # fmt: skip
    for name, content in written.items():
        (folder / name).write_bytes(content)


def hurt(content: bytes, start: int, count: int) -> bytes:
    """*content* with bytes after *start* flipped, the same ones each time."""
    damaged = bytearray(content)
    for place in random.Random(5).sample(range(start, len(content)), min(count, len(content) - start)):
        damaged[place] ^= 0xFF
    return bytes(damaged)


def png_of(wide: int, high: int) -> bytes:
    """A grey picture of that size: small as a file, large in memory."""
    squeeze = zlib.compressobj()
    rows = b"".join(squeeze.compress(bytes(1 + wide)) for _ in range(min(high, 100))) + squeeze.flush()
    chunk: Callable[[bytes, bytes], bytes] = lambda name, data: (  # noqa: E731
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    )
    header = struct.pack(">IIBBBBB", wide, high, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
