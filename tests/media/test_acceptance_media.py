"""A result as somebody else judges it: the reference's commands (section 7, 1, 2, 3 and 6), with nothing of ours in between."""

from __future__ import annotations

import struct
from pathlib import Path

SECONDS, RATE = 4, 30
# What an AAC encoder puts before and after.
PRIMING = 2048


def boxes(path: Path) -> list[bytes]:
    """The kinds of an MP4's boxes, in their order."""
    found = []
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            taken = 8
            if size == 1:
                [size], taken = struct.unpack(">Q", file.read(8)), 16
            found.append(kind)
            file.seek(size - taken if size else 0, 1 if size else 2)
    return found


async def test_a_result_is_whole_by_the_commands_of_the_reference(studio, clips, tools, tmp_path):
    """Packets and lengths; a decode that says nothing; the index before the data; as many samples as there were."""
    source = clips.make(
        "acceptance.mp4",
        *("-f", "lavfi", "-i", f"testsrc2=s=320x180:r={RATE}:d={SECONDS}"),
        *("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={SECONDS}"),
        *("-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-g", "250", "-pix_fmt", "yuv420p"),
        *("-c:a", "aac", "-b:a", "160k", "-movflags", "+faststart"),
    )
    task = {
        "input": "main",
        "path": "o.mp4",
        "video": {"codec": "h264", "preset": "veryfast"},
        "audio": {"codec": "aac"},
    }
    await studio.succeed({"transcode": task}, {"main": source})
    made = studio.output / "o.mp4"
    video, audio = tools.video(made), tools.audio(made)
    assert (float(SECONDS), SECONDS * RATE) == (float(video["duration"]), int(video["nb_read_packets"]))
    assert abs(float(audio["duration"]) - SECONDS) <= 0.05
    decode = ("-v", "error", "-xerror", "-max_error_rate", "0", "-i", str(made), "-map", "0:v?", "-map", "0:a?")
    assert "" == tools.ffmpeg(*decode, "-f", "null", "-")
    kinds = boxes(made)
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    samples = tmp_path / "samples"
    tools.ffmpeg(
        "-v", "error", "-i", str(made), "-map", "0:a:0", "-f", "s16le", "-ac", "1", "-ar", "48000", str(samples)
    )
    assert abs(samples.stat().st_size // 2 - SECONDS * 48000) <= PRIMING
