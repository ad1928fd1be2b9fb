"""What a video shows at a moment, in numbers: for judging results, apart from the code under test."""

from __future__ import annotations

import subprocess
from pathlib import Path

from telecine_worker.ffmpeg.toolchain import Toolchain


def mean_color(
    toolchain: Toolchain, path: Path, *, frame: int, rectangle: tuple[int, int, int, int]
) -> tuple[int, int, int]:
    """Red, green and blue (0..255) over *rectangle* (left, top, width, height) of the frame with this number."""
    left, top, wide, high = rectangle
    graph = f"select='eq(n,{frame})',format=gbrp,crop={wide}:{high}:{left}:{top},scale=1:1:flags=area,format=rgb24"
    argv = [
        str(toolchain.ffmpeg),
        "-v",
        "error",
        "-i",
        str(path),
        "-vf",
        graph,
        "-frames:v",
        "1",
        "-f",
        "rawvideo",
        "-",
    ]
    ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    red, green, blue = ran.stdout
    return red, green, blue
