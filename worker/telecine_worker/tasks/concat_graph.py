"""The filters that bring a few clips to one size, rate and layout of channels, and join them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from telecine_worker.ffmpeg.media_info import AudioStream, VideoStream
from telecine_worker.tasks import arrivals, colors, even_pictures, picture, seeking, sound_gaps
from telecine_worker.tasks.arrivals import Arrival, End
from telecine_worker.tasks.audio_encoding import LAYOUTS, AudioTarget
from telecine_worker.tasks.clips import Clip
from telecine_worker.tasks.filter_text import chain, filter_text
from telecine_worker.tasks.seeking import Cut

FILTERS = (
    frozenset({"scale", "pad", "setsar", "format", "concat", "null"})
    | frozenset({"aresample", "aformat", "apad", "atrim", "anullsrc", "anull"})
    | even_pictures.FILTERS
    | seeking.FILTERS
    | sound_gaps.FILTERS
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """What all pictures become. *matrix* is that of YUV; empty: each keeps its own."""

    width_px: int
    height_px: int
    rate: Fraction
    pixel_format: str
    matrix: str
    tone_map_to_sdr: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What all clips become, and how many pictures and samples each has."""

    pictures: Pictures | None
    sound: AudioTarget | None
    frames: tuple[int, ...]
    samples: tuple[int, ...]


def cuts_of(clips: Sequence[Clip], made: Common, *, has_sound: bool, from_start: bool) -> tuple[Cut, ...]:
    """Where in its input each clip begins; see even_pictures.cut_of."""
    cuts = []
    for clip in clips:
        streams = [stream for stream, *_ in _used(0, clip, made, has_sound=has_sound)]
        cuts.append(even_pictures.cut_of(clip.part, clip.info, streams, from_start=from_start))
    return tuple(cuts)


def graph(clips: Sequence[Clip], cuts: Sequence[Cut], made: Common, *, has_sound: bool) -> str:
    """From one input for each of *clips*, read as *cuts* say, to [pictures], and to [sound] with *has_sound*."""
    chains, joined = [], ""
    alone = len(clips) == 1
    for place, (clip, cut) in enumerate(zip(clips, cuts, strict=True)):
        if made.pictures is not None:
            label = "[pictures]" if alone else f"[v{place}]"
            shown = _shown(place, clip, cut, made.pictures, made.frames[clip.number])
            chains.append(f"{shown}{label}")
            joined += label
        if has_sound and made.sound is not None:
            label = "[sound]" if alone else f"[a{place}]"
            whole = made.pictures is None and clip.is_open
            heard = _heard(place, clip, cut, made.sound, None if whole else made.samples[clip.number])
            chains.append(f"{heard}{label}")
            joined += label
    if not alone:
        join = filter_text("concat", n=len(clips), v=int(made.pictures is not None), a=int(has_sound))
        chains.append(f"{joined}{join}{'[joined]' if made.pictures else ''}{'[sound]' if has_sound else ''}")
    if not alone and made.pictures is not None:
        frames = sum(made.frames[clip.number] for clip in clips)
        chains.append(f"[joined]{chain(numbered(made.pictures.rate, frames))}[pictures]")
    return ";".join(chains)


def numbered(rate: Fraction, frames: int) -> list[str]:
    """Filters that give so many joined pictures their times: concat does not hit them in its microseconds, and to it a clip of
    one picture has no length. FFmpeg 5 would show the last one twice.
    """
    times = filter_text("setpts", f"N*{rate.denominator}/({rate.numerator}*TB)")
    return [times, filter_text("fps", fps=rate), filter_text("trim", end_frame=frames)]


def arrivals_of(clips: Sequence[Clip], made: Common, *, has_sound: bool) -> tuple[Arrival, ...]:
    """What has to come of each clip."""
    return tuple(_arrival(place, clip, made, has_sound=has_sound) for place, clip in enumerate(clips))


def _arrival(place: int, clip: Clip, made: Common, *, has_sound: bool) -> Arrival:
    """Where only the container says how long it is, that is said of the longest of its streams; one of those that are used has
    to last so long, if all of them are used.
    """
    used = _used(place, clip, made, has_sound=has_sound)
    if clip.is_open or clip.info.is_still:
        used = []
    ends = [_end([mark], what, lasts) for stream, mark, what, lasts in used if stream.duration is not None]
    unknown = [(mark, what) for stream, mark, what, _ in used if stream.duration is None]
    if unknown and len(used) == len(clip.info.video) + len(clip.info.audio):
        ends.append(_end([mark for _, mark, _, _ in used], " or ".join(what for _, what in unknown), clip.seconds))
    return Arrival(
        input_name=clip.input,
        what=f"clips[{clip.number}]",
        first=_Marks(place).first if made.pictures is not None else None,
        ends=tuple(each for each in ends if each.seconds > arrivals.LEAST_SECONDS),
    )


def _used(
    place: int, clip: Clip, made: Common, *, has_sound: bool
) -> list[tuple[VideoStream | AudioStream, int, str, Fraction]]:
    """The streams of *clip* that are used: each with the mark of its end, what a message calls it, and how long it lasts."""
    marks = _Marks(place)
    used: list[tuple[VideoStream | AudioStream, int, str, Fraction]] = []
    if made.pictures is not None:
        used.append((clip.video, marks.pictures, "the video", clip.shown_seconds))
    if has_sound and clip.audio is not None:
        used.append((clip.audio, marks.sound, "the sound", clip.heard_seconds))
    return used


def _end(marks: Sequence[int], what: str, lasts: Fraction) -> End:
    return End(marks=frozenset(marks), what=what, seconds=lasts)


class _Marks:
    """Of the clip at *place* of a run: of its first picture, and of the ends."""

    def __init__(self, place: int) -> None:
        self.first, self.pictures, self.sound = range(3 * place, 3 * place + 3)


def _shown(place: int, clip: Clip, cut: Cut, made: Pictures, frames: int) -> str:
    """So many pictures, whole and in the middle."""
    source = clip.video
    aspect = Fraction(source.width_px, source.height_px)
    wide = min(made.width_px, picture.even(made.height_px * aspect))
    high = min(made.height_px, picture.even(wide / aspect))
    tone_mapped = made.tone_map_to_sdr and colors.is_hdr(source)
    marks = _Marks(place)
    filters = [
        *picture.deinterlacing(source),
        *even_pictures.even_pictures(
            cut, made.rate, frames, first=marks.first, end=marks.pictures, shown=clip.shown_seconds
        ),
        *([] if tone_mapped or not made.matrix else colors.assumed(source)),
        *picture.scaled(wide, high, matrix="" if tone_mapped else made.matrix),
        *([*colors.completed(source), *colors.tone_mapping(made.pixel_format, made.matrix)] if tone_mapped else []),
        filter_text("format", made.pixel_format),
        *colors.said(made.matrix),
        filter_text("pad", made.width_px, made.height_px, "(ow-iw)/2", "(oh-ih)/2"),
        filter_text("setsar", 1),
    ]
    return f"[{place}:{source.index}]{chain(filters)}"


def _heard(place: int, clip: Clip, cut: Cut, made: AudioTarget, samples: int | None) -> str:
    """So many samples: silence before, after and instead of what there is; None: all that there is."""
    limit = [] if samples is None else [filter_text("atrim", end_sample=samples)]
    if clip.audio is None:
        return chain([filter_text("anullsrc", r=made.rate_hz, cl=LAYOUTS[made.channels]), *limit])
    filters = [
        *cut.sound(),
        arrivals.sound_mark(_Marks(place).sound, clip.heard_seconds),
        *sound_gaps.filling(),
        filter_text("aresample", made.rate_hz),
        made.mixing,
        *([filter_text("apad"), *limit] if limit else []),
    ]
    return f"[{place}:{clip.audio.index}]{chain(filters)}"
