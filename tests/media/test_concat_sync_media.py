"""Clips one after the other: each as long in pictures as in sound, whatever it lacks, and cut to the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.numbered_film import RATE, lavfi, seen
from telecine_worker.outcome import Failed

MADE: dict[str, Any] = {"video": {"codec": "h264", "preset": "ultrafast", "crf": 10}, "audio": {"codec": "flac"}}
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "25", "-c:a", "aac")
SYNC_SECONDS = 0.025


def task(*clips: str | tuple[str, str, str], path: str = "o.mkv", **fields: Any) -> dict[str, Any]:
    """A ConcatTask: each clip an input's name, or that and its trim."""
    listed = [
        {"input": each} if isinstance(each, str) else {"input": each[0], "trim": {"start": each[1], "end": each[2]}}
        for each in clips
    ]
    return {"concat": {"clips": listed, "path": path, **(fields or MADE)}}


@pytest.fixture
def second(clips) -> Path:
    """One second: the pictures 0 to 24, a click at its start."""
    return clips.make("sync-second.mkv", *lavfi(1), *X264[:-1], "flac")


def cut(film: Path, folder: Path, part: float) -> Path:
    """The first *part* of the bytes of *film*."""
    path = folder / f"cut-{film.name}"
    path.write_bytes(film.read_bytes()[: round(film.stat().st_size * part)])
    return path


@pytest.mark.parametrize("extension", ["mp4", "flv"])
async def test_what_follows_a_damaged_clip_stays_in_sync(studio, clips, tools, second, tmp_path, extension):
    """Where damage is to be a warning, a clip of which little is left is as long as it says; else the attempt fails."""
    film = clips.make(
        f"sync-film.{extension}", *lavfi(5), *X264, *("-ar", "44100", "-movflags", "+faststart", "-flvflags", "0")
    )
    inputs = {"a": cut(film, tmp_path, 0.6), "b": second}
    ended = await studio.succeed(task("a", "b"), inputs, damage_policy="DAMAGE_POLICY_WARN")
    assert "INPUT_TRUNCATED" in {warning.reason for warning in ended.warnings if warning.input_name == "a"}
    found = seen(tools.toolchain, studio.output / "o.mkv")
    assert tuple(range(RATE)) == found.numbers[-RATE:]
    begin = found.times[-RATE] - found.times[0]
    assert abs(begin - 5) < 0.1
    assert abs(found.clicks[-1] - begin) < SYNC_SECONDS
    # All that came is there, and the last of it is held.
    assert RATE // 2 < max(found.numbers[:-RATE]) == found.numbers[-RATE - 1] < 4 * RATE
    ended = await studio.run(task("a", "b"), inputs)
    assert isinstance(ended, Failed)
    assert ("INPUT_TRUNCATED", True) == (ended.failure.reason, "input a ends before" in ended.failure.message)


@pytest.mark.parametrize("name", ["tail.flv", "tail.mp4", "front.ts"])
async def test_pictures_and_sound_of_other_lengths_are_no_damage(studio, clips, tools, second, name):
    """Sound that goes on after the last picture, or pictures after it, in containers that do and do not say so."""
    shorter = {"tail": ("-vf", "trim=end_frame=25"), "front": ("-af", "atrim=end=1")}[name.partition(".")[0]]
    film = clips.make(f"sync-{name}", *lavfi(3), *shorter, *X264, "-ar", "44100")
    ended = await studio.succeed(task("a", "b"), {"a": film, "b": second})
    assert () == ended.warnings
    found = seen(tools.toolchain, studio.output / "o.mkv")
    begin = found.times[-RATE] - found.times[0]
    assert abs(begin - 3) < 0.1
    assert tuple(range(RATE)) == found.numbers[-RATE:]
    assert abs(found.clicks[-1] - begin) < SYNC_SECONDS
    preview = {"preview": {"input": "a", "path": "p.mp4", "duration": "2s", "clipCount": 4}}
    assert () == (await studio.succeed(preview, {"a": film})).warnings


@pytest.mark.parametrize("name", ["part.mp4", "part.ts"])
async def test_a_part_is_exact_to_the_picture(studio, clips, tools, second, name):
    """From what is shown then on, in sync, also far within the film."""
    film = clips.make(f"sync-{name}", *lavfi(13), *X264, "-g", "250")
    wanted = seen(tools.toolchain, film).between(11.4, 12.4)
    await studio.succeed(task("b", ("a", "11.4s", "12.4s"), "b"), {"a": film, "b": second})
    found = seen(tools.toolchain, studio.output / "o.mkv")
    assert abs(found.numbers[RATE] - wanted.numbers[0]) <= 1
    assert tuple(range(found.numbers[RATE], found.numbers[RATE] + RATE)) == found.numbers[RATE : 2 * RATE]
    assert tuple(range(RATE)) == found.numbers[2 * RATE :]
    # A picture is shown at most half its length from its time.
    assert abs(found.clicks[1] - 1 - wanted.clicks[0]) < SYNC_SECONDS


async def test_a_picture_that_stands_is_shown_in_a_part_that_begins_then(studio, clips, tools, second):
    """Not the next one, though nothing of it is decoded on the way to the part."""
    film = clips.make(
        "sync-standing.mp4", *lavfi(16), "-vf", "select='eq(n,0)+eq(n,340)+eq(n,399)'", "-fps_mode", "vfr", *X264, "-an"
    )
    await studio.succeed(task("b", ("a", "13s", "14s"), video=MADE["video"]), {"a": film, "b": second})
    found = seen(tools.toolchain, studio.output / "o.mkv")
    # 340 / 25 is 13.6.
    assert (*range(RATE), *([0] * 15), *([340] * 10)) == found.numbers


async def test_a_part_after_the_last_picture_shows_that_one(studio, clips, tools, second):
    """Also where it is so far back that nothing of it is decoded on the way to the part."""
    film = clips.make(
        "sync-long-tail.webm", *lavfi(14), "-vf", "trim=end_frame=25", *("-c:v", "libvpx", "-c:a", "libopus")
    )
    ended = await studio.succeed(task("b", ("a", "12.5s", "13.5s")), {"a": film, "b": second})
    assert () == ended.warnings
    found = seen(tools.toolchain, studio.output / "o.mkv")
    assert (*range(RATE), *([RATE - 1] * RATE)) == found.numbers
    assert abs(found.clicks[1] - 1.5) < SYNC_SECONDS


async def test_a_clip_of_one_picture_is_shown_at_any_rate(studio, clips, tools, second):
    """At a rate at which it is less than half a picture."""
    one = clips.make("sync-one.mp4", *lavfi(0.04), "-frames:v", "1", *X264[:2], "-an")
    slow = {**MADE, "video": {**MADE["video"], "frameRate": {"numerator": 10, "denominator": 1}}}
    await studio.succeed(task("b", "a", "b", **slow), {"a": one, "b": second})
    found = seen(tools.toolchain, studio.output / "o.mkv")
    assert (21, 0) == (len(found.numbers), found.numbers[10])
    assert abs(found.clicks[1] - 1.1) < SYNC_SECONDS
    await studio.succeed({"preview": {"input": "a", "path": "p.gif", "clipCount": 3}}, {"a": one})


async def test_a_still_is_shown_for_as_long_as_is_said(studio, clips, tools, second):
    """A card between two clips, silent."""
    still = clips.make("sync-still.png", *lavfi(0.04), "-frames:v", "1", "-an")
    await studio.succeed(task("b", ("a", "0s", "1.5s"), "b"), {"a": still, "b": second})
    found = seen(tools.toolchain, studio.output / "o.mkv")
    assert (*range(RATE), *([0] * 38), *range(RATE)) == found.numbers
    assert abs(found.clicks[1] - 2.52) < SYNC_SECONDS


async def test_program_streams_one_after_the_other_stay_in_sync(studio, clips, tools, second):
    """They say neither how long they are nor how long their sound is: what differs does not add up."""
    coded = ("-c:v", "mpeg2video", "-bf", "2", "-q:v", "2", "-c:a", "mp2", "-f", "dvd")
    film = clips.make("sync-program.mpg", *lavfi(2), *coded)
    ended = await studio.succeed(task(*"aaab"), {"a": film, "b": second})
    assert () == ended.warnings
    found = seen(tools.toolchain, studio.output / "o.mkv")
    assert tuple(range(RATE)) == found.numbers[-RATE:]
    assert abs(found.clicks[-1] - found.times[-RATE]) < SYNC_SECONDS


async def test_what_a_browser_records_is_as_long_as_its_packets_say(studio, clips, tools, second):
    """Its container never says it, and its clock begins anywhere."""
    live = ("-c:v", "libvpx", "-deadline", "realtime", "-b:v", "1M", "-c:a", "libopus", "-f", "webm", "-live", "1")
    film = clips.make("sync-live.webm", *lavfi(2), *live, "-output_ts_offset", "3600")
    ended = await studio.succeed(task("a", "b"), {"a": film, "b": second})
    assert () == ended.warnings
    found = seen(tools.toolchain, studio.output / "o.mkv")
    assert (*range(2 * RATE), *range(RATE)) == found.numbers
    assert abs(found.clicks[-1] - 2) < SYNC_SECONDS
    preview = {"preview": {"input": "a", "path": "p.mp4", "duration": "1s", "clipCount": 2}}
    assert () == (await studio.succeed(preview, {"a": film})).warnings


@pytest.mark.parametrize("extension", ["aac", "mp3"])
async def test_sound_that_does_not_say_how_long_it_is_is_there_whole(studio, clips, tools, extension):
    """What is estimated of its length may be half of it, or twice: all of it is heard, and the next clip after that."""
    loud = "aevalsrc='if(lt(t,1),0,0.1*(random(0)-0.5))':s=48000:d=3"
    guess = clips.make(
        f"sync-guess.{extension}",
        "-f",
        "lavfi",
        "-i",
        loud,
        *("-q:a", "2", "-write_xing", "0")[: 4 if extension == "mp3" else 2],
    )
    click = clips.make("sync-click.wav", "-f", "lavfi", "-i", "aevalsrc='0.9*lt(t,0.004)':s=48000:d=1")
    ended = await studio.succeed(task("a", "b", path="o.wav", audio={"codec": "pcm_s16le"}), {"a": guess, "b": click})
    assert abs(ended.artifacts[0].media.duration.total_seconds() - 4) < 0.1
    assert abs(seen(tools.toolchain, studio.output / "o.wav").clicks[-1] - 3) < 0.1
