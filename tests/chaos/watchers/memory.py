"""How much memory schedulers take."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from chaos.rig.fleet import Fleet

LOOK_SECONDS = 0.5


class Memory:
    """The largest resident memory of each scheduler, beside what it was at first."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._first = {name: self._now(name) for name in fleet.schedulers}
        self.growth_mb = 0.0

    def _now(self, name: str) -> float:
        status = Path(f"/proc/{self._fleet.schedulers[name].pid}/status")
        line = next((line for line in status.read_text().splitlines() if line.startswith("VmRSS:")), "VmRSS: 0")
        return int(line.split()[1]) / 1024

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            for name, first in self._first.items():
                with contextlib.suppress(OSError):
                    self.growth_mb = max(self.growth_mb, self._now(name) - first)
            await asyncio.sleep(LOOK_SECONDS)
