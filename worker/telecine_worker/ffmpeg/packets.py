"""The packets of a file, counted while ffprobe lists them: whether their times are those of an encoder.

ffprobe is asked for compact JSON: one line for each packet, before everything else. The lines are read as they come and
forgotten; what remains is the rest of the answer, as whole JSON.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

SHOWN = ("-show_entries", "packet=stream_index,pts,dts,duration", "-of", "json=compact=1")
# Pictures that are shown long after they are decoded are not among those between: 16 is the most that H.264 reorders.
_WINDOW = 64
_PACKET = re.compile(rb'\s*\{ "stream_index": (\d+)(?:, "pts": (-?\d+))?(?:, "dts": (-?\d+))?(?:, "duration": (\d+))?')
_BEGIN = b'"packets": ['
# Of the list of packets, which is the second level of the answer.
_END = (b"    ],", b"    ]")


@dataclass(slots=True, kw_only=True)
class PacketTimes:
    """Of one stream. *grows*: each packet is decoded after the one before. *repeats*: two are shown at the same time. *end* is
    when the last one is over, by the clock of the stream; None while unknown.
    """

    count: int = 0
    grows: bool = True
    repeats: bool = False
    end: int | None = None
    _last: int | None = None
    _shown: deque[int] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def add(self, shown: int | None, decoded: int | None, lasts: int | None = None) -> None:
        """The next packet; None is unknown."""
        self.count += 1
        if decoded is not None:
            self.grows = self.grows and (self._last is None or decoded > self._last)
            self._last = decoded
        if shown is not None:
            self.repeats = self.repeats or shown in self._shown
            self._shown.append(shown)
            end = shown + (lasts or 0)
            self.end = end if self.end is None else max(self.end, end)


class PacketReader:
    """Fed with the answer; keeps of it what is not about packets, at most *most_bytes* and a chunk."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._partial = b""
        self._within = False
        self._kept = bytearray()
        self.streams: dict[int, PacketTimes] = {}
        self.fed_bytes = 0

    def feed(self, chunk: bytes) -> None:
        """Take bytes as they come; a line may be spread over any number of calls."""
        self.fed_bytes += len(chunk)
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._partial) > self._most_bytes:
            self._keep(self._partial)
            self._partial = b""

    def rest(self) -> bytes:
        """The answer without its packets, once all is there."""
        return bytes(self._kept) + self._partial

    def _line(self, line: bytes) -> None:
        if self._within and line not in _END:
            match = _PACKET.match(line)
            if match:
                stream, *times = (None if value is None else int(value) for value in match.groups())
                self.streams.setdefault(stream or 0, PacketTimes()).add(*times)
            return
        self._within = line.lstrip().startswith(_BEGIN)
        self._keep(line + b"\n")

    def _keep(self, data: bytes) -> None:
        if len(self._kept) <= self._most_bytes:
            self._kept += data
