"""Sound with a hole in its timestamps: what follows is heard when it was, wherever it goes to."""

from __future__ import annotations

import array
import subprocess
from pathlib import Path
from typing import Any

import pytest

RATE_HZ = 48_000


def clicking(clips: Any, codec: str, extension: str, gap: str = "1,2") -> Path:
    """4 s of pictures, and of a quiet tone in which there is nothing during *gap*, and a click at 3 s."""
    tone = f"aevalsrc='if(between(t,3,3.01),0.5,0.02)*sin(2*PI*1000*t)':s={RATE_HZ}:d=4"
    path: Path = clips.make(
        f"hole-{gap.rpartition(',')[2]}.{extension}",
        *("-f", "lavfi", "-i", "color=gray:size=64x48:rate=25:duration=4"),
        *("-f", "lavfi", "-i", f"{tone},aselect='not(between(t,{gap}))'"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-c:a", codec),
    )
    return path


def click_seconds(tools: Any, path: Path) -> float:
    """When the loudest moment of *path* begins, by the times that its packets have, or by its samples where it keeps none."""
    timed = "aresample=async=1:first_pts=0:min_hard_comp=0.01" if path.suffix in (".mp4", ".mkv", ".ts") else "anull"
    argv = [str(tools.toolchain.ffmpeg), "-v", "error", "-i", str(path), "-map", "0:a:0"]
    argv += ["-af", f"{timed},asetpts=N/SR/TB", "-ac", "1", "-ar", str(RATE_HZ), "-f", "s16le", "-"]
    samples = array.array("h", subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)
    loud = max(map(abs, samples)) / 2
    return next(place for place, sample in enumerate(samples) if abs(sample) > loud) / RATE_HZ


@pytest.mark.parametrize(
    ("made_from", "made", "audio"),
    [
        (("pcm_s16le", "mkv"), "mp4", {"codec": "aac", "loudness": {}}),
        (("aac", "ts"), "wav", {"codec": "pcm_s16le", "loudness": {}}),
        (("aac", "mp4"), "flac", {"codec": "flac"}),
        (("pcm_s16le", "mkv"), "ogg", {"codec": "opus"}),
        (("pcm_s16le", "mkv", "1,1.06"), "wav", {"codec": "pcm_s16le"}),
    ],
)
async def test_a_gap_of_the_sound_stays_as_long_as_it_was(studio, clips, tools, made_from, made, audio):
    """A click after it comes within 25 ms of its time, and nothing is warned of."""
    source = clicking(clips, *made_from)
    video = {"video": {"codec": "h264", "preset": "ultrafast"}} if made in ("mp4", "mkv") else {}
    task = {"transcode": {"input": "main", "path": f"o.{made}", "audio": audio, **video}}
    ended = await studio.succeed(task, {"main": source})
    assert abs(click_seconds(tools, studio.output / f"o.{made}") - click_seconds(tools, source)) < 0.025
    assert [] == [each for each in ended.warnings if each.reason.startswith("INPUT")]
