"""Ways to promise that what was acknowledged is durable, and ways to put them to the test."""

from __future__ import annotations

from dataclasses import dataclass

from chaos.power.disk import compiler
from support.redis_server import server_binary


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """A way to promise durability, and how the server ends."""

    name: str
    durability: str = "fsync"
    appendonly: str = "yes"
    appendfsync: str = "always"
    power_lost: bool = False
    keeps: bool = True
    """Whether what was acknowledged has to be there; the others are the controls, where some of it must be lost."""

    @property
    def may_be_refused(self) -> bool:
        """A scheduler may say that it cannot promise this on this server: then it acknowledges nothing that is not durable."""
        return self.durability == "fsync" and self.appendfsync != "always"


ALWAYS = Mode(name="fsync")
WAITAOF = Mode(name="waitaof", appendfsync="everysec")
ALWAYS_POWER = Mode(name="fsync_power", power_lost=True)
WAITAOF_POWER = Mode(name="waitaof_power", appendfsync="everysec", power_lost=True)
MEMORY = Mode(name="memory", durability="memory", appendonly="no", keeps=False)
EVERYSEC_POWER = Mode(
    name="everysec_power", durability="everysec", appendfsync="everysec", power_lost=True, keeps=False
)
MODES = (ALWAYS, WAITAOF, ALWAYS_POWER, WAITAOF_POWER, MEMORY, EVERYSEC_POWER)


def impossible(mode: Mode) -> str | None:
    """Why this machine cannot do it, or None."""
    if mode.power_lost and not compiler():
        return "a loss of power needs a C compiler"
    if mode.durability == "fsync" and mode.appendfsync != "always" and not has_waitaof():
        return f"{server_binary()} has no WAITAOF"
    return None


def has_waitaof() -> bool:
    """Whether the server under test has the command: Redis from 7.2 on, Valkey."""
    return "valkey" in server_binary()
