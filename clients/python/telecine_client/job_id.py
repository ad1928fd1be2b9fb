"""Ids of jobs: UUIDs of version 7 (RFC 9562, section 5.7), which sort by the time they were made."""

from __future__ import annotations

import secrets
import time
import uuid


def new_job_id() -> str:
    """An id that nobody has used: 48 bits of Unix time in milliseconds and 74 random bits."""
    unix_ms = time.time_ns() // 1_000_000
    random_a, random_b = secrets.randbits(12), secrets.randbits(62)
    number = (unix_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b
    return str(uuid.UUID(int=number))
