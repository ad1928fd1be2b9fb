"""Says that a request is being repeated, to whoever would else look at nothing for as long as it may take."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from telecine_client import attempts
from telecine_client.cli.exits import say

PATIENCE = timedelta(seconds=1)


@contextmanager
def telling_of_trouble(timeout: timedelta) -> Iterator[None]:
    """One line, once, when a request has failed and this has lasted for PATIENCE; *timeout* is what it may take in all."""
    log, told = logging.getLogger(attempts.__name__), _Teller(timeout)
    before = log.level, log.propagate
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(told)
    try:
        yield
    finally:
        log.removeHandler(told)
        log.setLevel(before[0])
        log.propagate = before[1]


class _Teller(logging.Handler):
    def __init__(self, timeout: timedelta) -> None:
        super().__init__()
        self._timeout = timeout
        self._begin = time.monotonic()
        self._told = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self._told and time.monotonic() - self._begin >= PATIENCE.total_seconds():
            self._told = True
            say(f"{record.__dict__['error']}; trying for {self._timeout.total_seconds():g} s")
