"""The FFmpeg that the workers of the rig are given: a stand-in for each, and the answers it gives at their start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from chaos.rig import stand_in
from support.ffmpeg_under_test import toolchain_under_test

QUESTIONS = ("-version", "-encoders", "-muxers", "-demuxers", "-filters")


class Tools:
    """A folder of programs. *history* is the file into which stand-ins write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "tools"
        (self._folder / "answers").mkdir(parents=True)
        real = toolchain_under_test()
        self.history = self._folder / "history.jsonl"
        self.ffprobe = real.ffprobe
        (self._folder / "real").symlink_to(real.ffmpeg)
        for question in QUESTIONS:
            argv = [real.ffmpeg, question] if question == "-version" else [real.ffmpeg, "-hide_banner", question]
            answer = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
            (self._folder / "answers" / question.lstrip("-")).write_text(answer)
        self._program = self._folder / "stand_in"
        # The interpreter's own path: that of .venv may be longer than the kernel reads.
        interpreter = Path(sys.executable).resolve()
        self._program.write_text(f"#!{interpreter} -IS\n{Path(stand_in.__file__).read_text()}")
        self._program.chmod(0o755)

    def ffmpeg(self, worker: str) -> Path:
        """For one worker, whose name is in the history of what it starts."""
        program = self._folder / worker / "ffmpeg"
        program.parent.mkdir(exist_ok=True)
        if not program.exists():
            program.symlink_to(self._program)
        return program
