"""Inputs from http:// and https://: fetched to a file of ours, and gone on with after a break.

What arrives is the whole of one version of the file, or nothing: its length is known beforehand or its chunks have an end,
parts of two versions are never put together, and a body whose end cannot be told from a cut needs a checksum.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from telecine_worker.failure import AttemptFailed, permanent, retryable
from telecine_worker.storage import http_status
from telecine_worker.storage.fetch_errors import Broken, FetchStopped
from telecine_worker.storage.http_answer import Answer, Framing, body
from telecine_worker.storage.http_exchange import Exchange, Network, asking
from telecine_worker.storage.http_target import check_headers, parse_target
from telecine_worker.storage.http_version import ContentRange, FileVersion
from telecine_worker.storage.resolving import LOOK_AGAIN_SECONDS
from telecine_worker.storage.scratch import Scratch

MOST_CHANGES = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to fetch. *headers* and the query of *url* are secrets. An empty *sha256* is not checked."""

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    sha256: str = ""
    max_bytes: int


def fetch(network: Network, directory: Path, request: Request, stopped: Callable[[], bool]) -> int:
    """Fetch it to a nameless file in *directory*; a descriptor to read it, which the caller closes.

    Blocks, for a thread; *stopped* is asked several times a second and ends it with FetchStopped. Raises AttemptFailed:
    INPUT_NOT_ALLOWED, INPUT_NOT_FOUND, INPUT_DENIED, INPUT_UNREADABLE, INPUT_OVER_LIMIT, INPUT_CHECKSUM_MISMATCH,
    OPTION_INVALID; retryable INPUT_UNAVAILABLE, INPUT_CHANGED, NO_SPACE, IO_ERROR.
    """
    with Scratch(directory, f"input {request.name}", hashing=bool(request.sha256)) as scratch:
        _Fetch(network, request, scratch, stopped).run()
        return scratch.reader()


class _Fetch:
    def __init__(self, network: Network, request: Request, scratch: Scratch, stopped: Callable[[], bool]) -> None:
        self._network = network
        self._patience = network.patience
        self._request = request
        self._scratch = scratch
        self._stopped = stopped
        self._what = f"input {request.name}"
        self._target = parse_target(request.url, self._what)
        check_headers(request.headers, self._what)
        self._version: FileVersion | None = None
        self._goes_on = True
        self._changes = 0
        self._failures = 0
        self._most_at_once = 0
        self._end: int | None = None
        self._most: int | None = None
        self._joined = False

    def run(self) -> None:
        """Try until it is there."""
        while True:
            try:
                self._try()
            except Broken as broken:
                self._wait(self._pause(broken))
            else:
                return

    def _try(self) -> None:
        """One request, and its whole body."""
        begin = self._begin()
        validator = self._version.validator if self._version and begin else None
        ours = {"Range": f"bytes={begin}-", "If-Range": validator} if validator else {}
        with asking(
            self._network,
            self._target,
            headers=self._request.headers,
            ours=ours,
            what=self._what,
            stopped=self._stopped,
        ) as exchange:
            self._check_head(exchange, begin)
            pace = _Pace(self._patience.window, self._patience.least_bytes_per_window)
            for piece in body(exchange.wire, exchange.answer, self._patience.idle):
                self._take(piece)
                pace.count(len(piece))
            self._check_end(exchange)

    def _begin(self) -> int:
        """Where to go on; 0 after forgetting what cannot be gone on with."""
        if not (self._goes_on and self._version and self._version.validator):
            self._scratch.restart()
        return self._scratch.size

    def _check_head(self, exchange: Exchange, begin: int) -> None:
        """Make ready for the body, or raise what the answer means."""
        answer, where = exchange.answer, f"{self._what} ({exchange.target})"
        if begin and answer.status == 206:
            self._go_on(answer, begin)
        elif answer.status == 200:
            self._start_over(FileVersion.of(answer))
        elif begin and answer.status == 416:
            self._distrust("would not go on where it broke off")
        else:
            raise http_status.failure(answer, where)
        self._check_body(answer, where)

    def _go_on(self, answer: Answer, begin: int) -> None:
        assert self._version is not None  # noqa: S101 - a range is asked for only then
        found = ContentRange.of(answer)
        total = self._version.total
        if found is None or found.begin != begin or (found.total is None and total is None):
            self._distrust("went on somewhere else than it was asked to")
        elif not self._version.is_kept_by(answer) or (found.total or total) != (total or found.total):
            self._note_change()
            self._distrust("went on with another version of the file")
        elif answer.framing is Framing.CLOSE or answer.length not in (None, found.end - begin):
            self._distrust("went on with another length than it said")
        else:
            self._end, self._most = found.total or total, found.end
            self._joined = True

    def _start_over(self, version: FileVersion) -> None:
        """A whole answer: the first, or because there is a new version, or because the server knows no ranges."""
        if self._version and version.differs(self._version):
            self._note_change()
        self._scratch.restart()
        self._version = version
        self._end = self._most = version.total
        self._joined = False

    def _distrust(self, why: str) -> None:
        """Begin again without asking for a range ever again: raises Broken."""
        self._goes_on = False
        self._version = None
        raise Broken(why)

    def _note_change(self) -> None:
        self._changes += 1
        if self._changes > MOST_CHANGES:
            raise retryable(
                "INPUT_CHANGED", f"{self._what} ({self._target}) changed again and again while it was fetched"
            )

    def _check_body(self, answer: Answer, where: str) -> None:
        coding = answer.header("content-encoding") or "identity"
        if coding.lower() != "identity":
            text = "is sent compressed (Content-Encoding), though it was asked for as it is"
            raise permanent("INPUT_UNREADABLE", f"{where} {text}")
        if answer.framing is Framing.CLOSE and not self._request.sha256:
            raise permanent(
                "INPUT_UNREADABLE",
                f"{where} does not say how long the file is, so a half one would pass for it; give the input's sha256, or "
                "serve it with a Content-Length",
            )
        end = self._end or self._scratch.size
        self._check_size(end)
        self._scratch.expect(end - self._scratch.size)

    def _take(self, piece: bytes) -> None:
        size = self._scratch.size + len(piece)
        self._check_size(size)
        if self._most is not None and size > self._most:
            self._distrust("sent more than it said")
        self._scratch.write(piece)

    def _check_size(self, size: int) -> None:
        if size > self._request.max_bytes:
            raise over_limit(self._what, self._request.max_bytes)

    def _pause(self, broken: Broken) -> timedelta:
        """Before the next try; raises the failure where there is none."""
        patience = self._patience
        if self._scratch.size - self._most_at_once >= patience.enough_bytes:
            self._most_at_once, self._failures = self._scratch.size, 0
        self._failures += 1
        asked = broken.pause or timedelta()
        if broken.last or self._failures >= patience.tries or asked > patience.longest_asked_pause:
            text = f"{self._what} ({broken.where or self._target}) {broken}; try {self._failures} of {patience.tries}"
            raise retryable("INPUT_UNAVAILABLE", text) from broken
        longest = min(patience.longest_pause, patience.first_pause * 2.0 ** (self._failures - 1))
        return max(asked, longest * random.uniform(0.5, 1))  # noqa: S311 - so that workers do not come back all at once

    def _wait(self, pause: timedelta) -> None:
        until = time.monotonic() + pause.total_seconds()
        while (left := until - time.monotonic()) > 0:
            if self._stopped():
                raise FetchStopped
            time.sleep(min(left, LOOK_AGAIN_SECONDS))

    def _check_end(self, exchange: Exchange) -> None:
        """The body is over: is this the file?"""
        size, wanted, found = self._scratch.size, self._request.sha256, self._scratch.sha256
        if self._end is not None and size < self._end:
            raise Broken(f"sent {size} of {self._end} bytes")
        if not wanted or found == wanted:
            return
        if self._joined:
            # A server may say the same of two versions.
            self._distrust("sent parts that are not of one file")
        text = f"{self._what} ({exchange.target}) has the SHA-256 {found}, expected {wanted}"
        if exchange.answer.framing is Framing.CLOSE:
            raise retryable(
                "INPUT_CHECKSUM_MISMATCH", f"{text}; the server does not say its length: it may have been cut"
            )
        raise permanent("INPUT_CHECKSUM_MISMATCH", text)


class _Pace:
    """Raises Broken where a window of time brought too little."""

    def __init__(self, window: timedelta, least: int) -> None:
        self._window = window.total_seconds()
        self._least = least
        self._begun = time.monotonic()
        self._bytes = 0

    def count(self, size: int) -> None:
        self._bytes += size
        now = time.monotonic()
        if now - self._begun < self._window:
            return
        if self._bytes < self._least:
            raise Broken(f"sent less than {self._least} bytes in {self._window:g} s")
        self._begun, self._bytes = now, 0


def over_limit(what: str, max_bytes: int) -> AttemptFailed:
    """For an input that is too large."""
    return permanent(
        "INPUT_OVER_LIMIT", f"{what} is larger than this worker takes, {max_bytes} bytes (TELECINE_INPUT_MAX_BYTES)"
    )
