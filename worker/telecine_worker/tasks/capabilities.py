"""What a worker offers, as labels, from what its FFmpeg has.

Whatever every job of a kind needs is folded into one label, task/<kind>: FFmpeg's own encoders, muxers, demuxers and
filters, which every full build has. Beside it stand the encoders of other people's libraries, encoder/<name>, and the filters
that need one, filter/<name>, which a build may lack; hardware/<codec> where an encoder of graphics hardware works; and
ffmpeg/<major>. The scheduler derives the same labels from a spec (its rpc/requirements.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from telecine_worker.ffmpeg import filters, hardware, options, whitelists
from telecine_worker.ffmpeg.toolchain import Toolchain
from telecine_worker.tasks import (
    audio,
    audio_encoding,
    concat_graph,
    kinds,
    package_rules,
    packaging,
    picture,
    picture_files,
    preview,
    probing,
    quality,
    raw,
    sprites,
    thumbnails,
    transcode,
)
from telecine_worker.tasks.containers import CONTAINERS

# Filters of other people's libraries that some tasks need: tone mapping, quality, burnt-in subtitles.
LIBRARY_FILTERS = frozenset({"zscale", "libvmaf", "subtitles"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Names as FFmpeg lists them. Encoders of libraries are left out: they are offered one by one."""

    encoders: frozenset[str] = frozenset()
    muxers: frozenset[str] = frozenset()
    filters: frozenset[str] = frozenset()
    demuxers: frozenset[str] = whitelists.EVERYWHERE

    def lacking(self, toolchain: Toolchain) -> frozenset[str]:
        """What *toolchain* does not have; empty when it can run every job of the kind."""
        return (
            (self.encoders - options.LIBRARY_ENCODERS - toolchain.encoders)
            | (self.muxers - toolchain.muxers)
            | (self.demuxers - toolchain.demuxers)
            | (self.filters - toolchain.filters)
        )


_NEEDS: Mapping[str, Needs] = {
    "audio": Needs(
        encoders=frozenset({"png", *(codec.encoder for codec in audio_encoding.CODECS.values())}),
        muxers=frozenset({"image2", "null", *(container.muxer for container in CONTAINERS.values())}),
        filters=audio.FILTERS | audio_encoding.FILTERS,
    ),
    "concat": Needs(
        encoders=frozenset({"pcm_s24le", *(codec.encoder for codec in audio_encoding.CODECS.values())}),
        muxers=frozenset({"null", "mp4", *(container.muxer for container in CONTAINERS.values())}),
        filters=concat_graph.FILTERS | audio_encoding.FILTERS,
        demuxers=whitelists.EVERYWHERE | {"concat"},
    ),
    "ffmpeg": Needs(
        encoders=frozenset({*options.VIDEO_ENCODERS, *options.AUDIO_ENCODERS, *options.SUBTITLE_ENCODERS}),
        muxers=frozenset(each.muxer[-1] for each in raw.FILE_TYPES.values()),
        filters=frozenset(filters.FILTERS),
    ),
    "packaging": Needs(
        encoders=frozenset(audio_encoding.CODECS[codec].encoder for codec in package_rules.SOUND_CODECS),
        muxers=frozenset({"dash", "null"}),
        filters=packaging.FILTERS,
        demuxers=whitelists.EVERYWHERE | {"hls"},
    ),
    "preview": Needs(
        encoders=frozenset({"ffv1", "gif"}),
        muxers=frozenset({"null", "nut", "gif", "webp", "mp4"}),
        filters=preview.FILTERS,
        demuxers=whitelists.EVERYWHERE | {"concat"},
    ),
    "probe": Needs(muxers=frozenset({"null"}), filters=probing.FILTERS),
    "quality": Needs(muxers=frozenset({"null"}), filters=quality.FILTERS),
    "sprites": Needs(
        encoders=frozenset(each.encoder for each in picture_files.PICTURE_FILES.values()),
        muxers=frozenset({"image2", "null"}),
        filters=sprites.FILTERS | picture.FILTERS,
        demuxers=whitelists.EVERYWHERE | {"image2"},
    ),
    "thumbnails": Needs(
        encoders=frozenset(each.encoder for each in picture_files.PICTURE_FILES.values()),
        muxers=frozenset({"image2", "null"}),
        filters=thumbnails.FILTERS | picture.FILTERS,
        demuxers=whitelists.EVERYWHERE | {"image2"},
    ),
    "transcode": Needs(
        encoders=frozenset(codec.encoder for codec in audio_encoding.CODECS.values()),
        muxers=frozenset({"null", *(container.muxer for container in CONTAINERS.values())}),
        filters=transcode.FILTERS,
    ),
}


def capabilities(toolchain: Toolchain) -> tuple[str, ...]:
    """Labels for the scheduler, sorted."""
    labels = {f"task/{kind}" for kind in kinds_of(toolchain)}
    labels |= {f"encoder/{name}" for name in options.LIBRARY_ENCODERS & toolchain.encoders}
    labels |= {f"filter/{name}" for name in LIBRARY_FILTERS & toolchain.filters}
    labels |= {f"hardware/{codec}" for codec, names in hardware.ENCODERS.items() if toolchain.encoders & {*names}}
    if toolchain.ffmpeg_version.number is not None:
        labels.add(f"ffmpeg/{toolchain.ffmpeg_version.number[0]}")
    return tuple(sorted(labels))


def kinds_of(toolchain: Toolchain) -> frozenset[str]:
    """The kinds of tasks that are offered."""
    return frozenset(kind for kind, lacking in lacks(toolchain).items() if not lacking)


def lacks(toolchain: Toolchain) -> dict[str, frozenset[str]]:
    """For each kind of task, what keeps *toolchain* from running every job of it; empty: nothing."""
    return {kind: _NEEDS[kind].lacking(toolchain) for kind in kinds.SUPPORTED}
