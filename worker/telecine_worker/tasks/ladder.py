"""The ladder for a source: which renditions a package has when its task names none.

A rung is known by its shorter side, so that upright films and odd aspect ratios have as many pixels as usual ones. Rungs are
those at or below the source as shown: nothing is enlarged. A source below the lowest rung has one rendition of its own size.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from telecine.v1 import media_pb2

HIGH_RATE = 60
USUAL_RATE = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """*max_bitrate_bps* is the peak for H.264 with up to 30 pictures a second. The average is what constant quality needs, at
    most that.
    """

    shorter_px: int
    max_bitrate_bps: int


RUNGS = (
    Rung(shorter_px=1080, max_bitrate_bps=6_000_000),
    Rung(shorter_px=720, max_bitrate_bps=3_500_000),
    Rung(shorter_px=480, max_bitrate_bps=1_600_000),
    Rung(shorter_px=360, max_bitrate_bps=900_000),
    Rung(shorter_px=240, max_bitrate_bps=500_000),
)


def ladder(width_px: int, height_px: int, rate: Fraction) -> list[media_pb2.Rendition]:
    """For a source of this size, as shown, and this many pictures a second; the largest first, at least one."""
    shorter = min(width_px, height_px)
    rungs = [rung for rung in RUNGS if rung.shorter_px <= shorter]
    if not rungs:
        # Of two sizes, the bitrate goes with the area: that of the lowest rung is for 16:9.
        share = Fraction(width_px * height_px * 9, RUNGS[-1].shorter_px ** 2 * 16)
        rungs = [Rung(shorter_px=shorter, max_bitrate_bps=max(64_000, int(RUNGS[-1].max_bitrate_bps * share)))]
    return [_rendition(rung, upright=width_px < height_px, rate=rate) for rung in rungs]


def _rendition(rung: Rung, *, upright: bool, rate: Fraction) -> media_pb2.Rendition:
    # SDR stays as it is; H.264 that is HDR is shown right by hardly any player.
    video = media_pb2.Video(codec="h264", max_bitrate_bps=_bitrate(rung.max_bitrate_bps, rate), tone_map_to_sdr=True)
    if upright:
        video.width_px = rung.shorter_px
    else:
        video.height_px = rung.shorter_px
    return media_pb2.Rendition(name=f"{rung.shorter_px}p", video=video)


def _bitrate(usual_bps: int, rate: Fraction) -> int:
    """Twice the pictures need half as much again: they differ less from each other."""
    more = min(max(rate - USUAL_RATE, Fraction(0)), Fraction(HIGH_RATE - USUAL_RATE)) / (HIGH_RATE - USUAL_RATE)
    return int(usual_bps * (1 + more / 2))
