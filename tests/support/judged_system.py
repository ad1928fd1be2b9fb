"""A whole system that is looked over at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from support.invariants import Keyspace
from support.processes import System, ffmpeg_children, wait_until


@contextmanager
def judged_system(job_id: str, **settings: str) -> Iterator[System]:
    """Ends with the invariants checked and no FFmpeg of the job left."""
    with System(**settings) as system:
        yield system
        for child in reversed(system.children):
            child.end()
        wait_until(lambda: not ffmpeg_children(f"~{job_id}~"), "FFmpeg to be gone")
        with redis.Redis(unix_socket_path=str(system.redis.socket)) as client:
            assert [] == Keyspace(client).violations()
