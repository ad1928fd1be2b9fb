"""Ctrl-C and SIGTERM: they end the run, but never between starting a process and remembering it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


class Interrupts:
    """Both raise KeyboardInterrupt: at once, or, while they are held, as soon as they are not."""

    def __init__(self) -> None:
        self._held = False
        self._pending = False

    def install(self) -> None:
        """From here on. A shell may have started us with Ctrl-C ignored."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._take())

    def _take(self) -> None:
        self._pending = True
        self._raise_pending()

    def _raise_pending(self) -> None:
        if self._pending and not self._held:
            self._pending = False
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within this they wait."""
        with self._set(held=True):
            yield

    @contextlib.contextmanager
    def let_through(self) -> Iterator[None]:
        """Within this, which is within the other, they do not."""
        with self._set(held=False):
            yield

    @contextlib.contextmanager
    def _set(self, *, held: bool) -> Iterator[None]:
        before, self._held = self._held, held
        try:
            self._raise_pending()
            yield
        finally:
            self._held = before
        self._raise_pending()
