"""How a command reaches the scheduler, and how it answers: the options that every command has."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """None stands for the environment's choice, or the default."""

    address: str | None
    tenant: str | None
    timeout: timedelta
    json_lines: bool

    def command(self) -> str:
        """How to call this program again with the same scheduler and tenant."""
        given = {"--address": self.address, "--tenant": self.tenant}
        return shlex.join(["telecine", *(part for name, value in given.items() if value for part in (name, value))])
