"""Options of one stream among several of the same output: with its number, and with key frames on the package's grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

A = TypeVar("A")

# Options that hold parameters of the encoder's own: several of them are joined.
_PARAMETERS = frozenset({"-x265-params", "-svtav1-params"})


def key_frame_options(encoder: str, frames: int) -> list[str]:
    """A key frame every *frames* pictures and nowhere else, and no picture that refers to one beyond it: players begin at each
    segment, and change the rendition there.
    """
    every = str(frames)
    match encoder:
        case "libx264":
            return ["-g", every, "-keyint_min", every, "-sc_threshold", "0", "-flags", "+cgop"]
        case "libx265":
            return ["-x265-params", f"keyint={every}:min-keyint={every}:scenecut=0:open-gop=0"]
        case "libsvtav1":
            return ["-g", every, "-flags", "+cgop", "-svtav1-params", "scd=0"]
        case _:
            return ["-g", every, "-keyint_min", every]


def joined(options: Sequence[str]) -> list[str]:
    """Pairs of option and value, in which an encoder's own parameters stand once: of two, FFmpeg would take the last."""
    values: dict[str, str] = {}
    for option, value in _pairs(options):
        values[option] = f"{values[option]}:{value}" if option in _PARAMETERS and option in values else value
    return [token for pair in values.items() for token in pair]


def of_stream(options: Sequence[A], kind: str, number: int) -> list[A | str]:
    """*options*, pairs for streams of *kind* ("v", "a"), for the one with this *number* alone."""
    numbered: list[A | str] = []
    for option, value in _pairs(options):
        numbered += [f"{str(option).removesuffix(f':{kind}')}:{kind}:{number}", value]
    return numbered


def _pairs(options: Sequence[A]) -> list[tuple[A, A]]:
    return list(zip(options[::2], options[1::2], strict=True))
