"""What a package may be asked for: what players show, and what its segments can hold."""

from __future__ import annotations

from collections.abc import Sequence, Set

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.expected_package import RESERVED_NAMES
from telecine_worker.tasks.picture_graph import PictureGraph

# What players decode, by the contract's codec.
PIXEL_FORMATS = {
    "h264": ("yuv420p",),
    "h265": ("yuv420p", "yuv420p10le"),
    "av1": ("yuv420p", "yuv420p10le"),
    "vp9": ("yuv420p", "yuv420p10le"),
}
# Of SVT-AV1.
LEAST_AV1_PX = 64
SOUND_CODECS = ("aac", "opus", "ac3")


def formats_of(task: media_pb2.PackagingTask) -> Set[int]:
    """HLS where none is said. Raises AttemptFailed OPTION_INVALID."""
    formats: Set[int] = frozenset(task.formats)
    if media_pb2.PackagingTask.FORMAT_UNSPECIFIED in formats:
        raise permanent("OPTION_INVALID", "formats: FORMAT_HLS, FORMAT_DASH or both would be right")
    return formats or {media_pb2.PackagingTask.FORMAT_HLS}


def check_renditions(renditions: Sequence[media_pb2.Rendition]) -> None:
    """Raise AttemptFailed OPTION_INVALID naming the rendition and what would be right."""
    _check_names(renditions)
    for rendition in renditions:
        _check_codec(rendition)
        _check_options(rendition)


def check_sizes(renditions: Sequence[media_pb2.Rendition], graphs: Sequence[PictureGraph]) -> None:
    """Raise AttemptFailed OPTION_INVALID where an encoder does not make pictures as small as those of *graphs*."""
    for rendition, graph in zip(renditions, graphs, strict=True):
        if rendition.video.codec == "av1" and min(graph.width_px, graph.height_px) < LEAST_AV1_PX:
            raise permanent(
                "OPTION_INVALID",
                f"rendition {rendition.name}: {graph.width_px}x{graph.height_px} px with av1, whose encoder makes at least "
                f"{LEAST_AV1_PX}x{LEAST_AV1_PX} px; a larger size, or another codec, would be right",
            )


def _check_names(renditions: Sequence[media_pb2.Rendition]) -> None:
    """Names name files: what differs only in case is one file on some servers."""
    seen = set(RESERVED_NAMES)
    for rendition in renditions:
        name = rendition.name.lower()
        if not name or name in seen:
            raise permanent(
                "OPTION_INVALID",
                f"rendition {rendition.name!r}: it names files, so a name that no other has, and none of "
                f"{', '.join(sorted(RESERVED_NAMES))}, would be right",
            )
        seen.add(name)


def _check_codec(rendition: media_pb2.Rendition) -> None:
    video = rendition.video
    if video.codec not in PIXEL_FORMATS:
        raise permanent(
            "OPTION_INVALID",
            f"rendition {rendition.name}: codec {video.codec!r} in a package, where each segment begins with a key frame; one "
            f"of {', '.join(PIXEL_FORMATS)} would be right",
        )
    allowed = PIXEL_FORMATS[video.codec]
    if video.pixel_format and video.pixel_format not in allowed:
        raise permanent(
            "OPTION_INVALID",
            f"rendition {rendition.name}: players of {video.codec} do not show {video.pixel_format}; {' or '.join(allowed)} "
            "would be right",
        )


def _check_options(rendition: media_pb2.Rendition) -> None:
    video = rendition.video
    for field, is_set, right in (
        ("two_pass", video.two_pass, "all renditions are encoded at once, in one pass; leave it out"),
        ("gop_duration", video.HasField("gop_duration"), "the task has one for all renditions; set that"),
        ("hardware", video.hardware, "hardware encoders do not promise key frames where segments begin; leave it out"),
    ):
        if is_set:
            raise permanent("OPTION_INVALID", f"rendition {rendition.name}: video.{field} in a package: {right}")
