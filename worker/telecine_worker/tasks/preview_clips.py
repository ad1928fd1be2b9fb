"""How the clips of a preview are read: each by itself, from shortly before it, or all in one go from the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.tasks import arrivals, colors, even_pictures, picture, seeking
from telecine_worker.tasks.arrivals import Arrival, End
from telecine_worker.tasks.concat_graph import numbered
from telecine_worker.tasks.filter_text import chain, filter_text
from telecine_worker.tasks.moments import exact_seconds
from telecine_worker.tasks.plan import Argument, InputPlace
from telecine_worker.tasks.trim import Part

FILTERS = even_pictures.FILTERS | picture.FILTERS | {"concat", "select"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewClip:
    """*start* is the number of its first picture, *shown* how many seconds of it the film has. No two share a picture."""

    start: int
    shown: Fraction
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The inputs, the graph from them to a label, and what has to come of them."""

    inputs: tuple[Argument, ...]
    graph: str
    arrivals: tuple[Arrival, ...]


class PreviewClips:
    """Of input *name*, at *rate*, in *size*. *matrix* is as with picture.scaled."""

    def __init__(
        self, name: str, info: MediaInfo, rate: Fraction, size: tuple[int, int], pixel_format: str, matrix: str
    ) -> None:
        self._name = name
        self._info = info
        self._video = info.video[0]
        self._rate = rate
        self._prepared = [
            *colors.assumed(self._video),
            *picture.scaled(*size, matrix=matrix),
            filter_text("format", pixel_format),
            *colors.said(matrix),
        ]

    def are_quicker_at_once(self, clips: Sequence[PreviewClip]) -> bool:
        """Each by itself begins well before it, and where nothing says what lies where, at the start."""
        apart = sum(clip.shown + exact_seconds(even_pictures.LEAD) for clip in clips)
        return self._info.format not in seeking.INDEXED or apart >= clips[-1].start / self._rate

    def at_once(self, clips: Sequence[PreviewClip], label: str) -> Reading:
        """Of all pictures those of the clips."""
        last = clips[-1]
        lasts = last.start / self._rate + last.shown
        part = self._part(0, lasts)
        cut = even_pictures.cut_of(part, self._info, [self._video], from_start=True)
        chosen = "+".join(f"between(n,{clip.start},{clip.start + clip.frames - 1})" for clip in clips)
        end = even_pictures.last_sure(lasts, self._rate)
        filters = [
            *picture.deinterlacing(self._video),
            *even_pictures.held_pictures(cut, self._rate, first=0, end=1, last=end),
            filter_text("trim", end_frame=last.start + last.frames),
            filter_text("select", chosen),
            *self.even(clips),
            *self._prepared,
        ]
        arrival = self._arrival(0, "all that is shown", lasts)
        inputs = tuple(self._input(cut, part))
        return Reading(inputs=inputs, graph=f"[0:{self._video.index}]{chain(filters)}{label}", arrivals=(arrival,))

    def apart(self, clips: Sequence[PreviewClip], label: str) -> Reading:
        """One input for each clip, joined."""
        inputs: list[Argument] = []
        chains, found = [], []
        labels = [label] if len(clips) == 1 else [f"[v{place}]" for place in range(len(clips))]
        for place, (clip, each) in enumerate(zip(clips, labels, strict=True)):
            part = self._part(clip.start / self._rate, clip.shown)
            cut = even_pictures.cut_of(part, self._info, [self._video])
            inputs += self._input(cut, part)
            chains.append(f"[{place}:{self._video.index}]{chain(self._shown(place, clip, cut))}{each}")
            what = f"what is shown from {float(clip.start / self._rate):.2f} s on"
            found.append(self._arrival(2 * place, what, clip.shown))
        if len(clips) > 1:
            join = filter_text("concat", n=len(clips), v=1, a=0)
            chains.append(f"{''.join(labels)}{chain([join, *self.even(clips)])}{label}")
        return Reading(inputs=tuple(inputs), graph=";".join(chains), arrivals=tuple(found))

    def even(self, clips: Sequence[PreviewClip]) -> list[str]:
        """The filters that give the pictures of *clips*, one after the other, their times."""
        return numbered(self._rate, sum(clip.frames for clip in clips))

    def _input(self, cut: seeking.Cut, part: Part) -> list[Argument]:
        return [*even_pictures.reading(cut, part.length), *whitelists.BEFORE_INPUT, "-i", InputPlace(self._name)]

    def _shown(self, place: int, clip: PreviewClip, cut: seeking.Cut) -> list[str]:
        return [
            *picture.deinterlacing(self._video),
            *even_pictures.even_pictures(
                cut, self._rate, clip.frames, first=2 * place, end=2 * place + 1, shown=clip.shown
            ),
            *self._prepared,
        ]

    def _part(self, start: Fraction | int, length: Fraction) -> Part:
        lasts = _time(length)
        return Part(start=_time(start), length=lasts, duration=lasts)

    def _arrival(self, first: int, what: str, lasts: Fraction) -> Arrival:
        """Where only the container says how long it is, that may be said of its sound."""
        end = End(marks=frozenset({first + 1}), what="the video", seconds=lasts)
        sure = self._video.duration is not None or not self._info.audio
        is_known = sure and lasts > arrivals.LEAST_SECONDS
        return Arrival(input_name=self._name, what=what, first=first, ends=(end,) if is_known else ())


def _time(seconds: Fraction | int) -> timedelta:
    return timedelta(microseconds=round(seconds * 10**6))
