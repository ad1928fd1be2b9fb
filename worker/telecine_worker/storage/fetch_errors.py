"""How a try to fetch ends when it does not end well and the input is not at fault for good."""

from __future__ import annotations

from datetime import timedelta


class FetchStopped(Exception):
    """Whoever wanted the input wants it no more."""


class Broken(Exception):
    """This try failed; another one may not.

    The text goes on after the name of the input and its host ("broke off after 5 bytes"). *pause* is how long the server
    asked us to wait. *where* is the host, once it is known.
    """

    def __init__(self, text: str, *, pause: timedelta | None = None) -> None:
        super().__init__(text)
        self.pause = pause
        self.where = ""
