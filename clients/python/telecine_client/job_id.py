"""Ids of jobs: UUIDs of version 7 (RFC 9562, section 5.7), which sort by the time they were made."""

from __future__ import annotations

import re
import secrets
import time
import uuid

from telecine_client.errors import Violation, invalid

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def new_job_id() -> str:
    """An id that nobody has used: 48 bits of Unix time in milliseconds and 74 random bits."""
    unix_ms = time.time_ns() // 1_000_000
    random_a, random_b = secrets.randbits(12), secrets.randbits(62)
    number = (unix_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b
    return str(uuid.UUID(int=number))


def checked_job_id(job_id: str) -> str:
    """The same. Raises InvalidRequest for what can be no job's id: on a stream that many share, the scheduler's refusal would
    end the others' watching too."""
    if not _JOB_ID.fullmatch(job_id):
        rule = "has to begin with a letter or digit and have at most 128 letters, digits, '.', '_' and '-'"
        raise invalid(f"{job_id[:200]!r} is no job id: it {rule}", Violation(field="job_id", description=rule))
    return job_id
