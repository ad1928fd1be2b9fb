"""What is done to the processes of a fleet while it works. Everything is written into the history."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from chaos.rig.fleet import Fleet
from support.invariants import P
from support.processes import ffmpeg_children, wait_until

CRASHES_BEFORE_POISON = 2


class Nemesis:
    """Its choices come from the fleet's seeded randomness."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._workers_next = False
        self._frozen: dict[str, Sequence[int]] = {}

    async def every(self, seconds: float, actions: Sequence[Callable[[], None]]) -> None:
        """One action, chosen at random, every so many seconds until cancelled. What is frozen is thawed at random, too."""
        while True:
            await asyncio.sleep(seconds)
            for name in list(self._frozen):
                if self._fleet.random.random() < 0.5:
                    self.thaw(name)
            acting = asyncio.ensure_future(asyncio.to_thread(self._fleet.random.choice(actions)))
            try:
                await asyncio.shield(acting)
            except asyncio.CancelledError:
                # A thread cannot be cancelled, and what it began must be whole.
                await acting
                raise

    def kill_any(self) -> None:
        """SIGKILL a scheduler and a worker in turns, and start it again."""
        name = self._victim()
        if name:
            self._fleet.kill(name)
            if name in self._frozen:
                # A child that was stopped before it could tie its life to the worker's finds out only when it goes on.
                self.thaw(name)
            self._fleet.restart(name)

    def freeze_any(self) -> None:
        """SIGSTOP a scheduler and a worker in turns."""
        name = self._victim()
        if name and name not in self._frozen:
            self.freeze(name)

    def restart_redis(self) -> None:
        """SIGKILL it and start it again."""
        self._note("restart", "redis")
        self._fleet.system.redis.kill()
        self._fleet.system.redis.start()

    def flush_scripts(self) -> None:
        """SCRIPT FLUSH."""
        self._note("flush scripts", "redis")
        with self._fleet.redis() as client:
            client.script_flush()

    def kill_connections(self) -> None:
        """CLIENT KILL of everybody."""
        self._note("kill connections", "redis")
        with self._fleet.redis() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def freeze(self, name: str, *, ffmpeg: bool = True) -> None:
        """SIGSTOP a process and, where it is a worker, what it runs."""
        self._note("freeze", name)
        pid = self._fleet.child(name).pid
        # The worker first: it must not see its children stop, nor start another one.
        stop(pid)
        children = children_of(pid) if ffmpeg else []
        for child in children:
            stop(child)
        self._frozen[name] = [*children, pid]

    def thaw(self, name: str) -> None:
        """SIGCONT to all of it that is still there."""
        self._note("thaw", name)
        for pid in self._frozen.pop(name):
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGCONT)

    def thaw_all(self) -> None:
        """Whatever is frozen goes on."""
        for name in list(self._frozen):
            self.thaw(name)

    def _victim(self) -> str:
        """Spared is a worker whose death would make a job poison; empty where all are."""
        names = list(self._fleet.workers if self._workers_next else self._fleet.schedulers)
        self._workers_next = not self._workers_next
        spared = [name for name in names if self._would_poison(name)]
        return self._fleet.random.choice([name for name in names if name not in spared] or [""])

    def _would_poison(self, worker: str) -> bool:
        with self._fleet.redis() as client:
            held = client.smembers(P + b"wl:" + worker.encode())
            return any(int(client.hget(P + b"j:" + name, "cr") or 0) >= CRASHES_BEFORE_POISON for name in held)

    def _note(self, action: str, target: str) -> None:
        self._fleet.history.note("nemesis", action=action, target=target)


def stop(pid: int) -> None:
    """SIGSTOP; the process has stopped when this returns, or was gone."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) in "TZ", f"{pid} to stop")


def state_of(pid: int) -> str:
    """The letter of /proc; Z for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def children_of(pid: int) -> list[int]:
    """FFmpeg processes of the worker *pid*."""
    found = []
    for child in ffmpeg_children():
        try:
            stat = Path(f"/proc/{child}/stat").read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid:
            found.append(child)
    return found
