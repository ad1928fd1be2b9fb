"""The order to stop: given once, obeyed by whatever process runs then or would be started later."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta


class Stopped(Exception):
    """A process was ended by our own order; whoever gave it knows why."""


class StopOrder:
    """Belongs to one attempt. A later order can only shorten the grace of an earlier one."""

    def __init__(self) -> None:
        self._grace: timedelta | None = None
        self._listeners: list[Callable[[timedelta], None]] = []

    @property
    def given(self) -> bool:
        """Whether anything must stop. May be read from any thread."""
        return self._grace is not None

    def give(self, grace: timedelta) -> None:
        """Stop now; after *grace* by force."""
        if self._grace is not None and self._grace <= grace:
            return
        self._grace = grace
        for listener in tuple(self._listeners):
            listener(grace)

    @contextlib.contextmanager
    def heard_by(self, listener: Callable[[timedelta], None]) -> Iterator[None]:
        """Call *listener* with the grace when the order is given, at once if it was given before."""
        self._listeners.append(listener)
        try:
            if self._grace is not None:
                listener(self._grace)
            yield
        finally:
            self._listeners.remove(listener)
