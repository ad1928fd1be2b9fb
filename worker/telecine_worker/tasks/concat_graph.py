"""The filters that bring a few clips to one size, rate and layout of channels, and join them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from telecine_worker.tasks import colors, picture
from telecine_worker.tasks.audio_encoding import LAYOUTS, AudioTarget
from telecine_worker.tasks.clips import Clip, length_of
from telecine_worker.tasks.filter_text import chain, filter_text
from telecine_worker.tasks.trim import seconds

# The last picture of a clip is shown on for so long where the film ends a little before it says.
HOLD_SECONDS = Fraction(1, 2)
FILTERS = frozenset(
    {
        *("fps", "tpad", "trim", "setpts", "scale", "pad", "setsar", "format", "concat", "null"),
        *("aresample", "aformat", "apad", "atrim", "anullsrc", "anull"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """What all pictures become."""

    width_px: int
    height_px: int
    rate: Fraction
    pixel_format: str
    tone_map_to_sdr: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What all clips become, and how many pictures and samples each has."""

    pictures: Pictures | None
    sound: AudioTarget | None
    frames: tuple[int, ...]
    samples: tuple[int, ...]


def graph(clips: Sequence[Clip], made: Common, *, has_sound: bool) -> str:
    """From one input for each of *clips* to [pictures], and to [sound] with *has_sound*."""
    chains, joined = [], ""
    alone = len(clips) == 1
    for place, clip in enumerate(clips):
        if made.pictures is not None:
            label = "[pictures]" if alone else f"[v{place}]"
            chains.append(f"[{place}:{clip.video.index}]{_shown(clip, made.pictures, made.frames[clip.number])}{label}")
            joined += label
        if has_sound and made.sound is not None:
            label = "[sound]" if alone else f"[a{place}]"
            chains.append(f"{_heard(place, clip, made.sound, made.samples[clip.number])}{label}")
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


def _shown(clip: Clip, made: Pictures, frames: int) -> str:
    """So many pictures, whole and in the middle."""
    source = clip.video
    aspect = Fraction(source.width_px, source.height_px)
    wide = min(made.width_px, picture.even(made.height_px * aspect))
    high = min(made.height_px, picture.even(wide / aspect))
    tone_mapped = made.tone_map_to_sdr and colors.is_hdr(source)
    held = seconds(length_of(clip.held_seconds + HOLD_SECONDS))
    return chain(
        [
            filter_text("fps", fps=made.rate, start_time=0),
            filter_text("tpad", stop_mode="clone", stop_duration=held),
            filter_text("trim", end_frame=frames),
            *picture.scaled(wide, high),
            *([*colors.completed(source), *colors.tone_mapping(made.pixel_format)] if tone_mapped else []),
            filter_text("format", made.pixel_format),
            filter_text("pad", made.width_px, made.height_px, "(ow-iw)/2", "(oh-ih)/2"),
            filter_text("setsar", 1),
        ]
    )


def _heard(place: int, clip: Clip, made: AudioTarget, samples: int) -> str:
    """So many samples: silence before, after and instead of what there is."""
    cut = filter_text("atrim", end_sample=samples)
    if clip.audio is None:
        return chain([filter_text("anullsrc", r=made.rate_hz, cl=LAYOUTS[made.channels]), cut])
    # "async" fills gaps, "first_pts" makes what begins late begin at 0.
    even = filter_text("aresample", made.rate_hz, **{"async": 1, "first_pts": 0})
    return f"[{place}:{clip.audio.index}]{chain([even, made.mixing, filter_text('apad'), cut])}"
