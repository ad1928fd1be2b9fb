"""Sprites on real FFmpeg: every cue of the index shows the picture of its time."""

from __future__ import annotations

import math
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from telecine_worker.failure import FailureKind
from telecine_worker.outcome import Failed, Succeeded

CUE = re.compile(r"(\d+):(\d\d):(\d\d\.\d{3}) --> (\d+):(\d\d):(\d\d\.\d{3})\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """One of an index. Times in seconds, *place* is x, y, width, height; *sheet* is the file beside the index."""

    begin: float
    end: float
    sheet: str
    place: tuple[int, int, int, int]


def task(path: str = "s/%d.png", index: str = "s/index.vtt", **fields: Any) -> dict[str, Any]:
    """A SpritesTask from the JSON names of its fields."""
    return {"sprites": {"input": "main", "path": path, "indexPath": index, **fields}}


def cues(path: Path) -> list[Cue]:
    """All of the index at *path*, in their order; nothing else stands in it."""
    head, *blocks = path.read_text().rstrip("\n").split("\n\n")
    assert "WEBVTT" == head
    found = []
    for block in blocks:
        match = CUE.fullmatch(block)
        assert match is not None, block
        begin, end = (int(h) * 3600 + int(m) * 60 + float(s) for h, m, s in (match.groups()[:3], match.groups()[3:6]))
        x, y, wide, high = (int(each) for each in match.groups()[7:])
        found.append(Cue(begin=begin, end=end, sheet=unquote(match[7]), place=(x, y, wide, high)))
    return found


def check_index(ended: Succeeded, output: Path, index: str) -> list[Cue]:
    """Cues follow one another without gaps, lie within sheets that are there, and no two show the same place."""
    sizes = {output / each.path: each.media.video[0] for each in ended.artifacts if each.media is not None}
    found = cues(output / index)
    assert 0 == found[0].begin
    assert [each.end for each in found[:-1]] == [each.begin for each in found[1:]]
    assert all(each.begin < each.end for each in found)
    assert len(found) == len({(each.sheet, each.place) for each in found})
    for each in found:
        video = sizes[((output / index).parent / each.sheet).resolve()]
        x, y, wide, high = each.place
        assert x + wide <= video.width_px
        assert y + high <= video.height_px
    return found


def luma(tools: Any, path: Path, graph: str = "null") -> list[int]:
    """Of each pixel, as a decoder of its own gives it."""
    command = [str(tools.toolchain.ffmpeg), "-v", "error", "-i", str(path), "-vf", f"{graph},format=gray"]
    command += ["-frames:v", "1", "-f", "rawvideo", "-"]
    return list(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)


@pytest.fixture
def steps(clips) -> Path:
    """Fifty pictures, ten a second, each a little lighter than the one before; key frames every 13."""
    return clips.make(
        "sprite-steps.mp4",
        *("-f", "lavfi", "-i", "color=black:s=64x48:r=10:d=5,geq=lum='20+4*N':cb=128:cr=128"),
        *("-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv420p", "-g", "13", "-bf", "2"),
    )


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
async def test_every_cue_shows_the_picture_of_its_beginning(studio, clips, steps, tools, container):
    """Five seconds by 0.4 s: thirteen tiles in sheets of 2 x 3, the last one with a single tile, which is black around it."""
    source = steps if container == "mp4" else clips.make(f"sprite-steps.{container}", "-i", str(steps), "-c", "copy")
    ended = await studio.succeed(
        task(tileWidthPx=32, columns=2, rows=3, interval="0.4s", path="a b/s%03d.png", index="vtt/i.vtt"),
        {"main": source},
    )
    assert ["a b/s001.png", "a b/s002.png", "a b/s003.png", "vtt/i.vtt"] == [each.path for each in ended.artifacts]
    assert ["image/png"] * 3 + ["text/vtt"] == [each.media_type for each in ended.artifacts]
    found = check_index(ended, studio.output, "vtt/i.vtt")
    assert (13, 5.0, (0, 0, 32, 24)) == (len(found), round(found[-1].end, 1), found[-1].place)
    shown = []
    for cue in found:
        x, y, wide, high = cue.place
        pixels = luma(tools, studio.output / "vtt" / cue.sheet, f"crop={wide}:{high}:{x}:{y}")
        shown.append(round((sum(pixels) / len(pixels) * 219 / 255 + 16 - 20) / 4))
    assert [round(each.begin * 10) for each in found] == shown
    rest = luma(tools, studio.output / "a b/s003.png", "crop=32:48:32:24")
    assert {0} == set(rest)


@pytest.mark.parametrize("extension", ["jpg", "webp", "png"])
async def test_all_formats_and_defaults(studio, clips, tools, extension):
    """One tile of a short film: a sheet of one tile of 160 x 90, and an index of one cue that lasts as long as the film."""
    ended = await studio.succeed(task(path=f"%d.{extension}", index="i.VTT"), {"main": clips.film(seconds=1)})
    (cue,) = check_index(ended, studio.output, "i.VTT")
    assert ((0, 0, 160, 90), f"1.{extension}", 0.0, 1.0) == (cue.place, cue.sheet, cue.begin, round(cue.end, 2))


async def test_the_shape_of_a_picture_is_kept(studio, clips, tools):
    """Rotated, and with a very tall picture, which has black at both sides of its tile."""
    wide = clips.film(seconds=1)
    turned = (
        clips.make("sprite-turned.mp4", "-display_rotation", "90", "-i", str(wide), "-c", "copy")
        if (tools.toolchain.ffmpeg_version.number or (0, 0)) >= (6, 0)
        else clips.make("sprite-turned.mp4", "-i", str(wide), "-c", "copy", "-metadata:s:v:0", "rotate=90")
    )
    ended = await studio.succeed(task(), {"main": turned})
    assert (0, 0, 160, 284) == check_index(ended, studio.output, "s/index.vtt")[0].place
    tall = clips.make(
        "sprite-tall.mkv", "-f", "lavfi", "-i", "color=white:s=32x320:r=5:d=1", "-c:v", "ffv1", "-pix_fmt", "yuv420p"
    )
    ended = await studio.succeed(task(), {"main": tall})
    assert (0, 0, 160, 320) == check_index(ended, studio.output, "s/index.vtt")[0].place
    row = luma(tools, studio.output / "s/1.png", "crop=160:1:0:100")
    assert ([0] * 60, [0] * 60) == (row[:60], row[100:])
    assert min(row[66:94]) > 240


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"path": "%d.bmp"}, "UNSUPPORTED_CONTAINER", "jpg"),
        ({"path": "one.png"}, "OPTION_INVALID", "%03d"),
        ({"indexPath": "i.txt"}, "UNSUPPORTED_CONTAINER", ".vtt"),
        ({"interval": "0.00001s"}, "OPTION_INVALID", "interval"),
        ({"interval": "0.001s", "columns": 1, "rows": 1}, "OPTION_INVALID", "at most 1000"),
        (
            {"interval": "0.001s", "columns": 20, "rows": 20, "tileWidthPx": 640},
            "OPTION_INVALID",
            "12800x7200 px; at most 8192",
        ),
    ],
)
async def test_what_cannot_be_is_refused_in_words(studio, clips, fields, reason, words):
    """For good, with what would be right; nothing is left."""
    ended = await studio.run(task(**fields), {"main": clips.film()})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, reason) == (ended.failure.kind, ended.failure.reason)
    assert words in ended.failure.message
    assert [] == studio.left()


async def test_an_input_without_an_end_is_refused(studio, clips):
    """A picture, and a raw stream, have no times to make an index of."""
    still = clips.make("sprite-still.png", "-f", "lavfi", "-i", "testsrc=s=64x48", "-frames:v", "1")
    ended = await studio.run(task(), {"main": still})
    assert isinstance(ended, Failed)
    assert ("INPUT_INVALID", True) == (ended.failure.reason, "cannot be told" in ended.failure.message)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
async def test_a_film_that_ends_early_never_passes(studio, clips, steps, tmp_path, container):
    """Its header promises five seconds; nothing is published, unless all damage is to be a warning."""
    whole = clips.make(f"sprite-fast.{container}", "-i", str(steps), "-c", "copy", "-movflags", "+faststart")
    cut = tmp_path / f"cut.{container}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    ended = await studio.run(task(interval="0.5s"), {"main": cut})
    assert isinstance(ended, Failed), ended
    assert "INPUT_TRUNCATED" == ended.failure.reason
    assert [] == studio.left()
    ended = await studio.run(task(interval="0.5s"), {"main": cut}, damage_policy="DAMAGE_POLICY_WARN")
    assert isinstance(ended, Succeeded), ended
    assert "INPUT_TRUNCATED" in {warning.reason for warning in ended.warnings}


@pytest.mark.parametrize("side", [1, 2])
async def test_of_a_film_that_ends_early_there_are_the_sheets_that_are_filled(studio, clips, steps, tmp_path, side):
    """With WARN: the index has as many cues as there are pictures, in sheets that are there."""
    whole = clips.make("sprite-fast.mp4", "-i", str(steps), "-c", "copy", "-movflags", "+faststart")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 4 // 5])
    wanted = task(interval="0.25s", columns=side, rows=side, tileWidthPx=32)
    ended = await studio.succeed(wanted, {"main": cut}, damagePolicy="DAMAGE_POLICY_WARN")
    found = check_index(ended, studio.output, "s/index.vtt")
    sheets = [each for each in ended.artifacts if each.media_type == "image/png"]
    assert math.ceil(len(found) / side**2) == len(sheets)
    assert 5 < len(found) < 18
