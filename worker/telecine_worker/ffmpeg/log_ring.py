"""What FFmpeg wrote on standard error, bounded: its first lines, its last lines, and how many fell out between.

FFmpeg may write gigabytes (a damaged input at a low log level), in lines of any length, ended by either line feed or
carriage return. Pointers, URL queries and our own paths are taken out, so that two runs read alike and nothing secret
is kept.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping

from telecine_worker.failure import LOG_TAIL_BYTES

FIRST_LINES = 20
LAST_LINES = 200
LINE_BYTES = 2000

_LINE_END = re.compile(rb"[\r\n]+")
_POINTER = re.compile(r"@ 0x[0-9a-fA-F]+")
_URL_SECRETS = re.compile(r"\b([a-z][a-z0-9+.-]*://)(?:[^\s/@]*@)?([^\s?#]*)[?#][^\s'\"]*")
_URL_USER = re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/@]+@")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class LogRing:
    """*names* maps what must not be shown (a path of ours) to what is shown in its place. *on_line* hears every line,
    those too that fall out.
    """

    def __init__(self, names: Mapping[str, str] | None = None, on_line: Callable[[str], None] = lambda _: None) -> None:
        # Longest first: /proc/self/fd/1 is the beginning of /proc/self/fd/12.
        self._names = sorted((names or {}).items(), key=lambda pair: -len(pair[0]))
        self._on_line = on_line
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._partial = b""
        self.dropped_lines = 0

    def feed(self, chunk: bytes) -> None:
        """Take bytes as they come from the pipe; a line may be spread over any number of calls."""
        *complete, rest = _LINE_END.split(chunk)
        for piece in complete:
            self._end_line(piece)
        self._extend(rest)

    def finish(self) -> None:
        """The pipe has ended: what is left is a line."""
        self._end_line(b"")

    def lines(self) -> list[str]:
        """What was kept, oldest first."""
        gap = [f"... {self.dropped_lines} lines left out ..."] if self.dropped_lines else []
        return [*self._first, *gap, *self._last]

    def tail(self) -> str:
        """The end of the log, at most LOG_TAIL_BYTES, beginning with a whole line where there is room for one."""
        text = "\n".join(self.lines()).encode()
        if len(text) > LOG_TAIL_BYTES:
            cut = text[-LOG_TAIL_BYTES:]
            _, newline, whole = cut.partition(b"\n")
            text = whole if newline else cut
        return text.decode(errors="ignore")

    def _extend(self, piece: bytes) -> None:
        room = LINE_BYTES - len(self._partial)
        self._partial += piece[:room]

    def _end_line(self, piece: bytes) -> None:
        self._extend(piece)
        line, self._partial = self._partial, b""
        if not line.strip():
            return
        text = self._clean(line.decode(errors="replace"))
        self._on_line(text)
        if len(self._first) < FIRST_LINES:
            self._first.append(text)
            return
        if len(self._last) == LAST_LINES:
            self.dropped_lines += 1
        self._last.append(text)

    def _clean(self, line: str) -> str:
        for path, name in self._names:
            line = line.replace(path, name)
        line = _POINTER.sub("@", line)
        line = _URL_SECRETS.sub(r"\1\2", line)
        line = _URL_USER.sub(r"\1", line)
        return _CONTROL.sub("?", line)
