"""Encoders of graphics hardware: their names by codec, and what FFmpeg needs besides the name.

FFmpeg lists them whatever the machine has; those that work are found by trial (see trial.py), and only they are among the
encoders of a toolchain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Encoders of one interface, whose names end in _*suffix*.

    *device* are options that stand before the inputs; *upload* is the end of the chain of filters. Without any of the *nodes*
    (patterns below /dev) there is no such device; none are said where the system has no files for it.
    """

    suffix: str
    device: tuple[str, ...] = ()
    upload: str = "format=nv12"
    nodes: tuple[str, ...] = ()

    def is_possible(self, devices: Path = Path("/dev")) -> bool:
        """Whether this machine may have such a device."""
        return not self.nodes or any(True for node in self.nodes for _ in devices.glob(node))


_RENDERERS = ("dri/renderD*",)
# In order of preference, which is that of quality at the same bitrate. Under WSL a GPU is /dev/dxg.
FAMILIES = (
    Family(suffix="nvenc", nodes=("nvidia[0-9]*", "dxg")),
    Family(
        suffix="qsv", device=("-init_hw_device", "qsv=hw", "-filter_hw_device", "hw"),
        upload="format=nv12,hwupload=extra_hw_frames=64", nodes=_RENDERERS,
    ),
    Family(suffix="videotoolbox"),
    Family(suffix="amf", nodes=_RENDERERS),
    Family(
        suffix="vaapi", device=("-init_hw_device", "vaapi=hw", "-filter_hw_device", "hw"), upload="format=nv12,hwupload",
        nodes=_RENDERERS,
    ),
)  # fmt: skip
# The contract's codecs, and how FFmpeg's encoders begin.
_PREFIXES = {"h264": "h264", "h265": "hevc", "av1": "av1", "vp9": "vp9"}

ENCODERS: Mapping[str, tuple[str, ...]] = {
    codec: tuple(f"{prefix}_{family.suffix}" for family in FAMILIES) for codec, prefix in _PREFIXES.items()
}
"""By the contract's codec, in order of preference."""

FAMILY_OF: Mapping[str, Family] = {
    f"{prefix}_{family.suffix}": family for prefix in _PREFIXES.values() for family in FAMILIES
}
"""By the name of an encoder."""
