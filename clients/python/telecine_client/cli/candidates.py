"""The jobs that completion offers, asked of the scheduler. Loaded when a shell asks: gRPC comes with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from telecine_client.cli.completion import DEADLINE, MOST_JOBS
from telecine_client.cli.connection import Connection
from telecine_client.cli.exits import UsageError
from telecine_client.errors import TelecineError
from telecine_client.states import JobState

# Options of `telecine` that say how to reach the scheduler, by the names of their parameters.
_REACHING = ("address", "tenant", "tls", "ca_file", "cert_file", "key_file", "token_file")


def candidates(options: Mapping[str, Any], states: Sequence[JobState], begin: str) -> list[tuple[str, str]]:
    """Ids that begin with *begin*, each with the job's state; nothing when there is no answer within DEADLINE.

    A shell has no place for an error: what went wrong is said by the command itself, once it is run.
    """
    connection = Connection(timeout=DEADLINE, **{name: options[name] for name in _REACHING})
    try:
        return asyncio.run(_ask(connection, states, begin))
    except (TelecineError, UsageError, TimeoutError):
        return []


async def _ask(connection: Connection, states: Sequence[JobState], begin: str) -> list[tuple[str, str]]:
    async with asyncio.timeout(DEADLINE.total_seconds()), connection.client() as client:
        return [
            (job.job_id, job.state.value)
            async for job in client.list(states=states, limit=MOST_JOBS)
            if job.job_id.startswith(begin)
        ]
