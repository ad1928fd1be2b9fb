"""Inputs from http:// and https://: fetched to a file of ours, and gone on with after a break.

What arrives is the whole of one version of the file, or nothing: its length is known beforehand or its chunks have an end,
parts of two versions are never put together, and a body whose end cannot be told from a cut needs a checksum.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from telecine_worker.failure import AttemptFailed, permanent, retryable
from telecine_worker.storage import http_status
from telecine_worker.storage.fetch_errors import Broken
from telecine_worker.storage.http_answer import Answer, Framing
from telecine_worker.storage.http_body import body
from telecine_worker.storage.http_exchange import Exchange, Network, asking
from telecine_worker.storage.http_target import check_headers, parse_target
from telecine_worker.storage.http_version import ContentRange, FileVersion
from telecine_worker.storage.input_cache import Shelf
from telecine_worker.storage.pace import Pace, Tries, rest
from telecine_worker.storage.scratch import Scratch

MOST_CHANGES = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to fetch. *headers* and the query of *url* are secrets. An empty *sha256* is not checked."""

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    sha256: str = ""
    max_bytes: int


def fetch(
    network: Network, directory: Path, request: Request, stopped: Callable[[], bool], *, shelf: Shelf | None = None
) -> int:
    """Fetch it to a nameless file in *directory*, where *shelf* has not got this version; a descriptor to read it, which the
    caller closes.

    Blocks, for a thread; *stopped* is asked several times a second and ends it with FetchStopped. Raises AttemptFailed:
    INPUT_NOT_ALLOWED, INPUT_NOT_FOUND, INPUT_DENIED, INPUT_UNREADABLE, INPUT_OVER_LIMIT, INPUT_CHECKSUM_MISMATCH,
    OPTION_INVALID; retryable INPUT_UNAVAILABLE, INPUT_CHANGED, NO_SPACE, IO_ERROR.
    """
    with Scratch(directory, f"input {request.name}", hashing=bool(request.sha256)) as scratch:
        with ExitStack() as failing:
            # Made first: should it fail, nothing was fetched in vain.
            reader = scratch.reader()
            failing.callback(os.close, reader)
            fetch = _Fetch(network, request, scratch, stopped, shelf)
            fetch.run()
            if fetch.kept is not None:
                return fetch.kept
            fetch.keep(reader)
            failing.pop_all()
        return reader


class _Fetch:
    def __init__(
        self, network: Network, request: Request, scratch: Scratch, stopped: Callable[[], bool], shelf: Shelf | None
    ) -> None:
        self._shelf = shelf
        self.kept: int | None = None
        """A descriptor of this version, where it was there already."""
        self._network = network
        self._patience = network.patience
        self._request = request
        self._scratch = scratch
        self._stopped = stopped
        self._what = f"input {request.name}"
        self._target = parse_target(request.url, self._what)
        check_headers(request.headers, self._what)
        self._tries = Tries(network.patience)
        self._version: FileVersion | None = None
        self._place = self._target.place
        self._goes_on = True
        self._changes = 0
        self._end: int | None = None
        self._most: int | None = None
        self._joined = False

    def run(self) -> None:
        """Try until it is there."""
        while True:
            try:
                if self._try():
                    return
            except Broken as broken:
                rest(self._pause(broken), self._stopped)

    def _try(self) -> bool:
        """One request, and its whole body: whether the file is there now."""
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
            if exchange.answer.status == 416 and self._is_all(exchange):
                self._check_sum(exchange)
                return True
            self._check_head(exchange, begin)
            if not self._scratch.size and self._is_kept():
                return True
            pace = Pace(self._patience.window, self._patience.least_bytes_per_window)
            for piece in body(exchange.wire, exchange.answer, self._patience.idle):
                self._take(piece)
                pace.count(len(piece))
            return self._check_end(exchange, begin)

    def keep(self, fd: int) -> None:
        """For the next job that wants it."""
        if self._shelf is not None:
            self._shelf.keep(self._strong_tag(), self._scratch.size, fd)

    def _is_kept(self) -> bool:
        version = self._version
        if self._shelf is not None and version is not None:
            self.kept = self._shelf.find(self._strong_tag(), version.total)
        return self.kept is not None

    def _strong_tag(self) -> str | None:
        version = self._version
        return version.tag if version is not None and version.validator == version.tag else None

    def _begin(self) -> int:
        """Where to go on; 0 after forgetting what cannot be gone on with."""
        if not (self._goes_on and self._version and self._version.validator):
            self._scratch.restart()
        return self._scratch.size

    def _is_all(self, exchange: Exchange) -> bool:
        """Whether nothing comes after what is there: a body in chunks was cut just before it said so."""
        size, version = self._scratch.size, self._version
        same = size and version and exchange.target.place == self._place and version.ends_at(size, exchange.answer)
        # Two answers are joined to one file here, too, though the second one is empty.
        self._joined = self._joined or bool(same)
        return bool(same)

    def _check_head(self, exchange: Exchange, begin: int) -> None:
        """Make ready for the body, or raise what the answer means."""
        answer, where = exchange.answer, f"{self._what} ({exchange.target})"
        if begin and answer.status == 206:
            self._go_on(exchange, begin)
        elif answer.status == 200:
            self._start_over(exchange)
        elif begin and answer.status == 416:
            self._distrust("would not go on where it broke off")
        else:
            raise http_status.failure(answer, where)
        self._check_body(answer, where)

    def _go_on(self, exchange: Exchange, begin: int) -> None:
        assert self._version is not None  # noqa: S101 - a range is asked for only then
        answer = exchange.answer
        found = ContentRange.of(answer)
        total = self._version.total
        if exchange.target.place != self._place:
            # A tag means something only where it was given (RFC 9110, section 8.8.3).
            self._distrust("went on with a file that lies elsewhere")
        elif found is None or found.begin != begin or (found.total is None and total is None):
            self._distrust("went on somewhere else than it was asked to")
        elif not self._version.is_kept_by(answer) or (found.total or total) != (total or found.total):
            self._note_change()
            self._distrust("went on with another version of the file")
        elif answer.framing is Framing.CLOSE or answer.length not in (None, found.end - begin):
            self._distrust("went on with another length than it said")
        else:
            self._end, self._most = found.total or total, found.end
            self._joined = True

    def _start_over(self, exchange: Exchange) -> None:
        """A whole answer: the first, or because there is a new version, or because the server knows no ranges."""
        version = FileVersion.of(exchange.answer)
        if self._version and version.differs(self._version):
            self._note_change()
        self._scratch.restart()
        self._version, self._place = version, exchange.target.place
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
        pause = self._tries.pause(broken.pause, self._scratch.size)
        if pause is None:
            count, most = self._tries.count, self._patience.tries
            text = f"{self._what} ({broken.where or self._target}) {broken}; try {count} of {most}"
            if count < most:
                text += ", and wants to be asked later than this worker waits"
            raise retryable("INPUT_UNAVAILABLE", text) from broken
        return pause

    def _check_end(self, exchange: Exchange, begin: int) -> bool:
        """The body is over: whether this is the file, or a part of it with more to ask for."""
        size = self._scratch.size
        if self._end is not None and size < self._end:
            if size == self._most and size - begin >= self._patience.least_part_bytes:
                return False
            raise Broken(f"sent {size} of {self._end} bytes")
        self._check_sum(exchange)
        return True

    def _check_sum(self, exchange: Exchange) -> None:
        wanted, found = self._request.sha256, self._scratch.sha256
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


def over_limit(what: str, max_bytes: int) -> AttemptFailed:
    """For an input that is too large."""
    return permanent(
        "INPUT_OVER_LIMIT", f"{what} is larger than this worker takes, {max_bytes} bytes (TELECINE_INPUT_MAX_BYTES)"
    )
