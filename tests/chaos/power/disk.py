"""A disk that can lose its power: what a server wrote and did not sync is gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("power_loss.c")
COMPILERS = ("cc", "gcc", "clang")
COMPILE_SECONDS = 60


def compiler() -> str | None:
    """The C compiler of this machine, if it has one."""
    return next((found for name in COMPILERS if (found := shutil.which(name))), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Under one server, whose environment has `env`; *folder* is for the shim and its notes."""

    folder: Path

    def build(self) -> None:
        """Compile the shim. Needs a compiler."""
        found = compiler()
        assert found, "there is no C compiler; `compiler` says so beforehand"
        argv = [found, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(self._shim), str(SOURCE), "-ldl"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
        assert done.returncode == 0, done.stderr

    @property
    def env(self) -> dict[str, str]:
        """For the server."""
        return {"LD_PRELOAD": str(self._shim), "POWER_LOSS_LOG": str(self._log), "POWER_LOSS_STOP": str(self._stop)}

    def stop(self) -> None:
        """No fsync returns from now on."""
        self._stop.touch()

    def mend(self) -> None:
        """Those that are still waiting go on."""
        self._stop.unlink(missing_ok=True)

    def sync_count(self, data: Path) -> int:
        """How often the growing parts of the append-only file in *data* were synced so far."""
        grown = {str(file.resolve()) for file in _growing(data)}
        return sum(note.split(" ", 1)[1] in grown for note in self._notes())

    def lose_power(self, data: Path) -> int:
        """Cut what was not synced off the append-only files in *data*, whose server was killed; how many bytes that were."""
        synced = {path: int(size) for size, path in (note.split(" ", 1) for note in self._notes())}
        lost = 0
        for file in _growing(data):
            kept = min(synced.get(str(file.resolve()), 0), file.stat().st_size)
            lost += file.stat().st_size - kept
            os.truncate(file, kept)
        return lost

    def _notes(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    @property
    def _shim(self) -> Path:
        return self.folder / "power_loss.so"

    @property
    def _log(self) -> Path:
        return self.folder / "synced.log"

    @property
    def _stop(self) -> Path:
        return self.folder / "stopped"


def _growing(data: Path) -> list[Path]:
    """The parts that grow: "appendonly.aof.1.incr.aof". The others are written once, and synced before they are named."""
    return list(data.glob("appendonlydir/*.incr.aof"))
