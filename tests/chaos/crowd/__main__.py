"""chaos.crowd ADDRESSES COUNT SLOTS QUEUE PROGRESS_SECONDS PREFIX HISTORY: scripted workers in one process, which die together.

Says "ready" when all have been welcomed; every welcome is in the history.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from chaos.crowd.scripted import ScriptedWorker
from chaos.rig.history import History


async def main(addresses: str, count: str, slots: str, queue: str, progress: str, prefix: str, path: str) -> None:
    history, welcomed = History(Path(path)), set[str]()

    def on_welcome(name: str) -> None:
        history.note("welcome", worker=name)
        welcomed.add(name)
        if len(welcomed) == int(count):
            print(f"ready workers={count}", flush=True)
            # Once.
            welcomed.add("")

    workers = [
        ScriptedWorker(
            f"{prefix}{number}", addresses.split(","), int(slots), queue=queue, progress_seconds=float(progress),
            on_welcome=on_welcome,
        )
        for number in range(int(count))
    ]  # fmt: skip
    await asyncio.gather(*(worker.run() for worker in workers))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
