"""Where to begin reading an input of which only a part is used, and how that part is taken out of what is read.

A seek alone is not exact. Sound may set in late (MP4 with edit lists), pictures are missing until the next key frame (MPEG
transport and program streams), and decoders complain about what they have not seen. So reading begins well before the part
where the container has an index, else at its beginning, and the first filters cut off what is early.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.tasks.filter_text import filter_text
from telecine_worker.tasks.trim import Part, seconds

# Containers with an index of key frames: a seek lands on one, however far apart they are. The index has the times of decoding,
# which are up to a second before those of showing.
INDEXED = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
# Sound that is heard with a picture may lie so much before it in the file, and has to be decoded from somewhat earlier.
LEAD = timedelta(seconds=10)
# In these, read from the start, FFmpeg counts time from the first packet of the streams that are used.
REBASED = frozenset({"mpegts", "mpeg"})
FILTERS = frozenset({"trim", "setpts", "atrim", "asetpts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A part of an input. *sought* is where reading begins, 0 at its beginning; *start* is where the part begins in the time
    that FFmpeg counts then (below 0 where something else comes first); *length* is None for "to the end".
    """

    sought: timedelta = timedelta(0)
    start: timedelta = timedelta(0)
    length: timedelta | None = None

    def options(self) -> list[str]:
        """Those of the input, before -i."""
        return ["-ss", seconds(self.sought)] if self.sought else []

    def pictures(self) -> list[str]:
        """The first filters of its pictures: what is shown from the start of the part on comes out from 0 on."""
        return self._filters("trim", "setpts")

    def sound(self) -> list[str]:
        """The same of its sound."""
        return self._filters("atrim", "asetpts")

    def packets(self) -> list[str]:
        """The option of an output for its encoded pictures: FFmpeg 9 shows the last one until the one that was cut off."""
        if self.length is None:
            return []
        shown = f"min(DURATION,round({seconds(self.length)}/TB)-PTS)"
        # Both times are said: by itself it makes them the same.
        return ["-bsf:v", filter_text("setts", pts="PTS", dts="DTS", duration=shown)]

    def _filters(self, trim: str, setpts: str) -> list[str]:
        early = {"start": _signed(self.start)} if self.start > timedelta(0) else {}
        late = {} if self.length is None else {"end": _signed(self.start + self.length)}
        cut = [filter_text(trim, **early, **late)] if early or late else []
        # By whole ticks, as the trim counts.
        return [*cut, filter_text(setpts, f"PTS-round({_signed(self.start)}/TB)")] if self.start else cut


def cut_of(part: Part, info: MediaInfo, streams: Iterable[VideoStream | AudioStream]) -> Cut:
    """How to take *part* out of an input, of which a run uses *streams* and no others."""
    if part.is_whole:
        return Cut()
    sought = max(timedelta(0), part.start - LEAD) if info.format in INDEXED else timedelta(0)
    zero = sought
    if info.format in REBASED:
        zero = max(timedelta(0), min((stream.start for stream in streams), default=info.start) - info.start)
    return Cut(sought=sought, start=part.start - zero, length=part.length)


def _signed(time: timedelta) -> str:
    return seconds(time) if time >= timedelta(0) else f"-{seconds(-time)}"
