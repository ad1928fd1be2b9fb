"""How a command reaches the scheduler, and how it answers: the options that every command has."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from telecine_client.cli.exits import UsageError

if TYPE_CHECKING:
    from telecine_client.aio import AsyncClient

DEFAULT_TIMEOUT = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """None stands for the environment's choice, or the default."""

    address: str | None = None
    tenant: str | None = None
    timeout: timedelta = DEFAULT_TIMEOUT
    tls: bool | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    token_file: str | None = None
    """The token itself is never an argument: arguments can be read by everybody on the machine."""
    json_lines: bool = False

    def client(self) -> AsyncClient:
        """Connects when first used. Raises UsageError for options that cannot be."""
        from telecine_client.aio import AsyncClient  # noqa: PLC0415 - gRPC comes with it

        try:
            return AsyncClient(
                self.address,
                tenant=self.tenant,
                timeout=self.timeout,
                tls=self.tls,
                ca_file=self.ca_file,
                cert_file=self.cert_file,
                key_file=self.key_file,
                token_file=self.token_file,
            )
        except ValueError as wrong:
            raise UsageError(str(wrong)) from wrong

    def command(self) -> str:
        """How to call this program again with the same scheduler and tenant."""
        given = {
            "--address": self.address,
            "--tenant": self.tenant,
            "--ca-file": self.ca_file,
            "--cert-file": self.cert_file,
            "--key-file": self.key_file,
            "--token-file": self.token_file,
        }
        options = [part for name, value in given.items() if value for part in (name, value)]
        return shlex.join(["telecine", *(["--tls"] if self.tls else []), *options])
