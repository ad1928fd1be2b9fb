"""One transcode through a whole Telecine that lives in a temporary place."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from telecine_local.child import StartFailed, launched
from telecine_local.member import say
from telecine_local.places import open_places
from telecine_local.sandbox import worker_settings
from telecine_local.session import run_in
from telecine_local.stack import Setup, Stack, program
from telecine_local.toolchain import Media, Toolchain, ToolFailed

HEIGHT_PX = 480
DURATION_TOLERANCE_SECONDS = 0.2
INTERRUPTED = 130


class DemoFailed(Exception):
    """The result is not there, or not what it should be; the message says in what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a file turned out to be."""

    media: Media
    frame_count: int


def run(*, source: Path | None, output: Path, database: str, worker: Sequence[str], scheduler: Sequence[str]) -> int:
    """The exit code. Nothing is left but the result; after a failure the logs too. Raises what its parts raise."""
    if source is not None and not source.is_file():
        raise DemoFailed(f"--input {source}: there is no such file")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as cannot:
        raise DemoFailed(f"--output {output} cannot be made: {cannot.strerror}") from cannot
    # Resolved: a worker refuses paths that go through symbolic links, which temporary directories may have.
    scratch = Path(tempfile.mkdtemp(prefix="telecine-demo-")).resolve()
    logs = f"the logs are in {scratch / 'logs'}"
    try:
        code = _run(scratch, source, output.resolve(), database=database, worker=worker, scheduler=scheduler)
    except (StartFailed, ToolFailed, DemoFailed) as failed:
        failed.add_note(logs)
        raise
    if code not in {0, INTERRUPTED}:
        say(logs)
        return code
    if code == INTERRUPTED:
        say("the demo was interrupted; its job and everything else of it is gone")
    shutil.rmtree(scratch)
    return code


def _run(
    scratch: Path, source: Path | None, output: Path, *, database: str, worker: Sequence[str], scheduler: Sequence[str]
) -> int:
    (scratch / "logs").mkdir()
    original = source.resolve() if source else scratch / "source.mp4"
    target = output / (f"{original.stem}-{HEIGHT_PX}p.mp4" if source else "demo.mp4")
    if target == original:
        raise DemoFailed(f"{target} would be written over itself; choose another directory with --output")
    found: list[Toolchain] = []

    async def settings() -> Mapping[str, str]:
        found.append(await Toolchain.find(worker))
        return worker_settings(found[0], os.environ)

    setup = Setup(
        listen="127.0.0.1:0",
        metrics_listen="127.0.0.1:0",
        workers=1,
        slots=1,
        file_roots=[original.parent, output],
        database=database,
        scheduler=scheduler,
        worker=worker,
        logs=scratch / "logs",
        worker_settings=settings,
    )
    with open_places(scratch / "data") as places:
        stack = Stack(setup, places)

        async def work() -> int:
            return await _demonstrate(stack, found[0], original, target, made=source is None)

        return asyncio.run(run_in(stack, work, when_stopped=INTERRUPTED))


async def _demonstrate(stack: Stack, tools: Toolchain, original: Path, target: Path, *, made: bool) -> int:
    """Make the source, have it transcoded, and check what came out."""
    began = time.monotonic()
    typer.echo(f"a scheduler at {stack.address}, one worker, {tools.ffmpeg}")
    if made:
        await tools.make_source(original)
    before = Measured(media=await tools.probe(original), frame_count=await tools.count_frames(original))
    if not before.media.video_codec:
        raise DemoFailed(f"{original} has no video; the demo makes a smaller picture of one")
    typer.echo(f"source: {original}: {_text(before)}")
    code = await _transcode(stack.address, original, target, sound=bool(before.media.audio_codec))
    if code != 0:
        return code
    after = Measured(media=await tools.probe(target), frame_count=await tools.count_frames(target))
    check(before, after)
    typer.echo(f"result: {target}: {_text(after)}")
    typer.echo(
        f"checked: it has every frame of the source, and decodes without an error; {time.monotonic() - began:.1f} s in all"
    )
    return 0


async def _transcode(address: str, original: Path, target: Path, *, sound: bool) -> int:
    """The command a user would type, with this terminal; its exit code."""
    options = ["--height", str(HEIGHT_PX), "--audio-codec", "aac" if sound else "none"]
    process = await asyncio.create_subprocess_exec(
        *launched([*program("telecine"), "--address", address, "transcode", str(original), str(target), *options])
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await process.wait()


def check(before: Measured, after: Measured) -> None:
    """Raises DemoFailed with everything in which the result is not what was asked for."""
    expected_audio = "aac" if before.media.audio_codec else ""
    wrong = []
    if after.frame_count != before.frame_count:
        wrong.append(f"{after.frame_count} frames instead of {before.frame_count}")
    if abs(after.media.duration_seconds - before.media.duration_seconds) > DURATION_TOLERANCE_SECONDS:
        wrong.append(f"{after.media.duration_seconds:.2f} s instead of {before.media.duration_seconds:.2f} s")
    if (after.media.video_codec, after.media.audio_codec) != ("h264", expected_audio):
        wrong.append(f"codecs {after.media.video_codec}, {after.media.audio_codec} instead of h264, {expected_audio}")
    if after.media.height_px > HEIGHT_PX or after.media.width_px % 2 or after.media.height_px % 2:
        wrong.append(
            f"{after.media.width_px}x{after.media.height_px} instead of even numbers, {HEIGHT_PX} high at most"
        )
    if wrong:
        raise DemoFailed(f"the result is not what it should be: {'; '.join(wrong)}")


def _text(measured: Measured) -> str:
    media = measured.media
    sound = media.audio_codec or "no sound"
    return (
        f"{media.video_codec} {media.width_px}x{media.height_px}, {measured.frame_count} frames, {sound}, "
        f"{media.duration_seconds:.2f} s, {media.size_bytes:,} bytes"
    )
