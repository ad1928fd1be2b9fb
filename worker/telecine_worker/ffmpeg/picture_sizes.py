"""Sizes of pictures that filters of callers make: told beforehand where they are numbers, else bounded when they run.

What an expression comes to, and a side that follows from the other one, depend on the picture that comes in. Such a size is
written with a condition: beyond the limits it is 0/0, with which FFmpeg refuses the graph before it makes a picture. A size
that is cut instead would be another picture than the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from telecine_worker.ffmpeg.values import MAX_PICTURE_PX, MAX_SIDE_PX

LEAST_SIDE = -16
"""Negative ones of scale follow from the other side, as a multiple of that many pixels."""
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
# Filters evaluate the width, the height, and the width once more: then oh is the height. Both sides, as they will be, are kept.
_SCALED_WIDTH = "if(gt(ld(0),0),ld(0),if(lt(ld(0),0)*gt(oh,0),oh*iw/ih,iw))"
_SCALED_HEIGHT = "if(gt(oh,0),oh,if(gt(ld(0),0),ld(0)*ih/iw,ih))"
_KEPT = "st(1,{width})*st(2,{height})"
# What covers a frame may be larger than the frame.
_COVERING = "st(3,max(ld(1),ld(2)*iw/ih))*st(4,max(ld(2),ld(1)*ih/iw))"


class SizeError(ValueError):
    """The size is more than is allowed, or is not whole; the text says what would be right."""


def of_scale(options: Mapping[str, str]) -> dict[str, str]:
    """The options of scale as they may be written. Raises SizeError."""
    if not options.keys() & {"w", "h", "s"}:
        return dict(options)
    width, height = _asked(options)
    covers = options.get("force_original_aspect_ratio") in ("increase", "2")
    rest = {name: value for name, value in options.items() if name not in ("w", "h", "s")}
    width, height = _scaled(width, height, covers=covers)
    return {"w": width, "h": height, **rest}


def of_pad(options: Mapping[str, str]) -> dict[str, str]:
    """The options of pad as they may be written. Raises SizeError."""
    width, height = options.get("w", "iw"), options.get("h", "ih")
    if not _is_size(width, height):
        # A side that is 0 is that of the picture, and none is smaller.
        kept = _KEPT.format(width="max(ld(0),iw)", height="max(oh,ih)")
        width, height = _width(width, kept, "ld(1)", "ld(2)"), _height(height)
    return {**options, "w": width, "h": height}


def _asked(options: Mapping[str, str]) -> tuple[str, str]:
    """FFmpeg takes a width alone for a size, which it is not."""
    if "s" in options:
        if options.keys() & {"w", "h"}:
            raise SizeError("s is the width and the height; leave it out, or w and h")
        width, _, height = options["s"].partition("x")
        return width, height
    if "h" not in options:
        raise SizeError("w needs h beside it; h=-2 keeps the shape")
    return options.get("w", "iw"), options["h"]


def _scaled(width: str, height: str, *, covers: bool) -> tuple[str, str]:
    """With *covers* the picture is enlarged until it covers both."""
    if _is_size(width, height) and not covers:
        return width, height
    if not covers and _follows(width, height):
        return width, f"if(lte({width}*ih/iw,{_most_beside(width)}),{height},0/0)"
    if not covers and _follows(height, width):
        return f"if(lte({height}*iw/ih,{_most_beside(height)}),{width},0/0)", height
    kept, wide, high = _KEPT.format(width=_SCALED_WIDTH, height=_SCALED_HEIGHT), "ld(1)", "ld(2)"
    if covers:
        kept, wide, high = f"{kept}*{_COVERING}", "ld(3)", "ld(4)"
    return _width(width, kept, wide, high), _height(height)


def _is_size(width: str, height: str) -> bool:
    """Whether both sides are told, and allowed."""
    if not (_NUMBER.fullmatch(width) and _NUMBER.fullmatch(height)) or min(float(width), float(height)) < 1:
        return False
    if float(width) * float(height) > MAX_PICTURE_PX:
        raise SizeError(f"{width}x{height} is more than {MAX_PICTURE_PX} pixels")
    return True


def _follows(told: str, follows: str) -> bool:
    """Whether one side is a number, and the other has the picture's shape."""
    return bool(_NUMBER.fullmatch(told) and _NUMBER.fullmatch(follows)) and float(told) >= 1 and float(follows) <= -1


def _most_beside(side: str) -> int:
    return min(MAX_SIDE_PX, int(MAX_PICTURE_PX / float(side)))


def _width(width: str, kept: str, wide: str, high: str) -> str:
    """*kept* keeps the sides as they will be, which then are *wide* and *high*; ld(0) is the width that was asked for."""
    fits = f"lte({wide},{MAX_SIDE_PX})*lte({high},{MAX_SIDE_PX})*lte({wide}*{high},{MAX_PICTURE_PX})"
    asked = f"between(st(0,trunc({width})),{LEAST_SIDE},{MAX_SIDE_PX})"
    return f"if(isnan(oh),{width},if({asked}*gte({kept},0)*{fits},ld(0),0/0))"


def _height(height: str) -> str:
    return height if _NUMBER.fullmatch(height) else f"if(between({height},{LEAST_SIDE},{MAX_SIDE_PX}),{height},0/0)"
