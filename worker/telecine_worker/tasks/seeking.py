"""Where to begin reading an input of which only a part is used, and how that part is taken out of what is read.

A seek alone is not exact. Sound may set in late (MP4 with edit lists), pictures are missing until the next key frame (MPEG
transport and program streams), and decoders complain about what they have not seen. So reading begins well before the part
where the container has an index, else at its beginning, and the first filters cut off what is early.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction

from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.tasks.filter_text import chain, filter_text
from telecine_worker.tasks.trim import Part, seconds

# Containers with an index of key frames: a seek lands on one, however far apart they are. The index has the times of decoding,
# which are up to a second before those of showing.
INDEXED = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
# Sound that is heard with a picture may lie so much before it in the file, and has to be decoded from somewhat earlier.
LEAD = timedelta(seconds=10)
# In these, read from the start, FFmpeg counts time from the first packet of the streams that are used.
REBASED = frozenset({"mpegts", "mpeg"})
# Below this many a second, or where the rate varies, what stands when a part begins is missed if it is left out.
LOW_RATE = 5
# Of pictures that are not slow the next one begins so soon, and what stands for less is not missed.
USUAL_RATE = 25
LONG_BEFORE = 1000
FILTERS = frozenset({"trim", "setpts", "atrim", "asetpts", "split", "tpad", "select", "concat"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A part of an input. *sought* is where reading begins, 0 at its beginning; *start* is where the part begins in the time
    that FFmpeg counts then (below 0 where something else comes first); *length* is None for "to the end". With *standing*,
    a rate, the picture that stands at *start* is the first one.
    """

    sought: timedelta = timedelta(0)
    start: timedelta = timedelta(0)
    length: timedelta | None = None
    standing: Fraction | None = None

    def options(self) -> list[str]:
        """Those of the input, before -i."""
        # By itself it leaves out what begins before, though it may still stand.
        exact = ["-noaccurate_seek"] if self.standing else []
        return [*exact, "-ss", seconds(self.sought)] if self.sought else []

    def pictures(self) -> list[str]:
        """The first filters of its pictures: what is shown from the start of the part on comes out from 0 on."""
        if self.standing:
            return [self._with_standing(1 / max(self.standing, Fraction(USUAL_RATE)))]
        return self._filters("trim", "setpts")

    def limit(self) -> list[str]:
        """The last filter of pictures at a new rate, which would show what stands at the end for as long as it does."""
        return [] if self.length is None else [filter_text("trim", end=seconds(self.length))]

    def clock(self) -> list[str]:
        """The option of an output for its encoded pictures: by itself an encoder counts in pictures, which may be seconds."""
        return ["-enc_time_base:v", "1:90000"] if self.standing and self.standing < LOW_RATE else []

    def sound(self) -> list[str]:
        """The same of its sound."""
        return self._filters("atrim", "asetpts")

    def packets(self, *, are_cut: bool) -> list[str]:
        """The option of an output for its encoded pictures: FFmpeg 9 shows the last one until the one that was cut off, if
        they *are_cut*, or for a moment only.
        """
        if self.length is None:
            return []
        left = f"round({seconds(self.length)}/TB)-PTS"
        shown = (
            f"if(eq(NEXT_PTS,NOPTS),{left},min(DURATION,{left}))"
            if self.standing and are_cut
            else f"min(DURATION,{left})"
        )
        # Both times are said: by itself it makes them the same.
        return ["-bsf:v", filter_text("setts", pts="PTS", dts="DTS", duration=shown)]

    def _with_standing(self, soon: Fraction) -> str:
        """The pictures of the part, and where none begins *soon* in it, in seconds, the last one before, put at its start."""
        start = signed(self.start)
        end = signed(self.start + timedelta(seconds=float(soon)))
        late = {} if self.length is None else {"end": signed(self.start + self.length)}
        # Which one is the last is known when they end; it is held on then, from 0, or where it begins in the part long before
        # that. FFmpeg 9 asks for the time of the end, too.
        at_zero = f"st(0,if(lt(PTS,round({end}/TB)),lt(PTS,round({start}/TB)),ld(0)))"
        held = [
            *(filter_text("trim", end=end), filter_text("setpts", f"if({at_zero},0,-{LONG_BEFORE}/TB)")),
            *(filter_text("tpad", stop=2, stop_mode="clone"), filter_text("select", "gt(pts,0)")),
            *(filter_text("trim", end_frame=1), filter_text("setpts", 0)),
        ]
        begun = [filter_text("trim", start=start, **late), filter_text("setpts", f"PTS-round({start}/TB)")]
        joined = "[standing][begun]concat=n=2:v=1:a=0"
        return f"split[early][late];[early]{chain(held)}[standing];[late]{chain(begun)}[begun];{joined}"

    def _filters(self, trim: str, setpts: str) -> list[str]:
        early = {"start": signed(self.start)} if self.start > timedelta(0) else {}
        late = {} if self.length is None else {"end": signed(self.start + self.length)}
        cut = [filter_text(trim, **early, **late)] if early or late else []
        # By whole ticks, as the trim counts.
        return [*cut, filter_text(setpts, f"PTS-round({signed(self.start)}/TB)")] if self.start else cut


def cut_of(part: Part, info: MediaInfo, streams: Iterable[VideoStream | AudioStream]) -> Cut:
    """How to take *part* out of an input, of which a run uses *streams* and no others."""
    used = tuple(streams)
    # Beside pictures, FFmpeg takes the time of both.
    only_sound = info.format in REBASED and all(isinstance(stream, AudioStream) for stream in used)
    if part.is_whole and not only_sound:
        return Cut()
    sought = max(timedelta(0), part.start - LEAD) if info.format in INDEXED else timedelta(0)
    zero = sought
    if info.format in REBASED:
        zero = max(timedelta(0), min((stream.start for stream in used), default=info.start) - info.start)
    return Cut(sought=sought, start=part.start - zero, length=part.length)


def with_standing(cut: Cut, video: VideoStream, info: MediaInfo) -> Cut:
    """*cut*, where a picture of *video* may stand for long with the one that does when the part begins."""
    stands = cut.start > timedelta(0) and may_stand_long(video, info)
    return replace(cut, standing=video.frame_rate or Fraction(LOW_RATE)) if stands else cut


def sought_late(cut: Cut, part: Part, info: MediaInfo, streams: Iterable[VideoStream | AudioStream]) -> Cut:
    """*cut*, where FFmpeg 9 counts from the first packet of *streams*, and 5 does not: both do from where a seek goes."""
    late = min((stream.start for stream in streams), default=info.start) - info.start
    if part.is_whole or info.format != "ogg" or late <= timedelta(0):
        return cut
    sought = late + timedelta(microseconds=1)
    return replace(cut, sought=sought, start=part.start - sought)


def may_stand_long(video: VideoStream, info: MediaInfo) -> bool:
    """Whether a picture may be shown for so long that it is missed. Matroska states the highest rate, and no more."""
    is_slow = video.frame_rate is None or video.frame_rate < LOW_RATE
    return is_slow or video.variable_frame_rate or (info.format in INDEXED and not video.frame_count)


def signed(time: timedelta) -> str:
    """As FFmpeg reads it."""
    return seconds(time) if time >= timedelta(0) else f"-{seconds(-time)}"
