"""How long a fetch waits, and how often it tries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Limits of one fetch; the attempt's own time limits hold besides."""

    resolve: timedelta = timedelta(seconds=20)
    connect: timedelta = timedelta(seconds=10)
    """For each address of a host, the TLS handshake included."""
    answer: timedelta = timedelta(seconds=30)
    """From the request to the end of the answer's head."""
    idle: timedelta = timedelta(seconds=30)
    """Without a byte of the body."""
    window: timedelta = timedelta(seconds=60)
    least_bytes_per_window: int = 600 * 1024
    """Of the body. Below 10 KiB/s an hour would not bring 36 MiB: a server that drips is as good as one that hangs."""
    tries: int = 5
    """In a row. One that brought *enough_bytes* that were not there before does not count."""
    enough_bytes: int = 64 << 20
    least_part_bytes: int = 64 << 10
    """A server that sends less than the rest it was asked for, but as much as this, is asked for more at once."""
    first_pause: timedelta = timedelta(milliseconds=500)
    """Doubles with each try, and is then shortened by chance to no less than its half."""
    longest_pause: timedelta = timedelta(seconds=10)
    asked_pauses: timedelta = timedelta(minutes=10)
    """In all, what servers ask for (Retry-After). One that asks for more is asked again when this is over, for the last
    time: the queue's own retries are few, and often come sooner than a server wants."""
