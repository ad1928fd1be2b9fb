"""The one graph of filters of a package: decoded once and deinterlaced, then split into the renditions.

The constant rate is made in each of them, of pictures that are scaled already: those that fill a gap are then one picture in
memory, however many they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.tasks import colors, picture, picture_graph
from telecine_worker.tasks.filter_text import chain, filter_text
from telecine_worker.tasks.plan import Argument, Step


class PackageGraph:
    """*graphs* has what each rendition is made by, after the split. None is longer than *limit_seconds*: at a constant rate, a
    gap in the timestamps of a small file would be filled with pictures for hours. *first* are filters that come before all.
    """

    def __init__(
        self,
        renditions: Sequence[media_pb2.Rendition],
        rates: Sequence[Fraction],
        filters: media_pb2.Filters,
        source: VideoStream,
        inputs: Mapping[str, MediaInfo],
        *,
        limit_seconds: Fraction,
        first: Sequence[str] = (),
    ) -> None:
        self._source = source
        self._first = first
        self._deinterlacing = picture.deinterlacing(source, asked=filters.deinterlace)
        own = media_pb2.Filters()
        own.CopyFrom(filters)
        own.ClearField("deinterlace")
        self.graphs = [
            picture_graph.build(
                _at_any_rate(each.video),
                own,
                replace(source, field_order="progressive"),
                inputs,
                timed=[*colors.assumed(source), *_constant(max(rates), rate, limit_seconds)],
            )
            for each, rate in zip(renditions, rates, strict=True)
        ]

    @property
    def steps(self) -> tuple[Step, ...]:
        """What comes before; the same for all renditions."""
        return self.graphs[0].steps

    @property
    def needed(self) -> Mapping[str, str]:
        """The filters that a build of FFmpeg may be without, with what needs each."""
        return {name: option for graph in self.graphs for name, option in graph.needed.items()}

    def inputs(self) -> list[Argument]:
        """The second -i, where there is one."""
        return self.graphs[0].inputs()

    def text(self) -> str:
        """From the first input to [v0], [v1] and so on."""
        numbers = range(len(self.graphs))
        first = [
            *self._first,
            *self._deinterlacing,
            filter_text("split", len(self.graphs)),
        ]
        parts = [f"[0:{self._source.index}]{chain(first)}{''.join(f'[s{number}]' for number in numbers)}"]
        parts += [self.graphs[number].text(f"s{number}", "1:v:0", f"v{number}") for number in numbers]
        return ";".join(parts)


def most_pictures(rate: Fraction, limit_seconds: Fraction) -> int:
    """As many as are made."""
    return math.ceil(rate * limit_seconds)


def _constant(fastest: Fraction, rate: Fraction, limit_seconds: Fraction) -> list[str]:
    """Also from the beginning of the presentation on: pictures that begin late are preceded by their first one. A slower rate
    takes every second or third picture of the fastest, so that all end together.
    """
    return [
        filter_text("fps", fastest, start_time=0),
        *([filter_text("fps", rate, start_time=0)] if rate != fastest else []),
        # Not -frames: with FFmpeg 9 that ends the sound, too.
        filter_text("trim", end_frame=most_pictures(rate, limit_seconds)),
    ]


def _at_any_rate(video: media_pb2.Video) -> media_pb2.Video:
    """The rate is made where the pictures are split."""
    same = media_pb2.Video()
    same.CopyFrom(video)
    same.ClearField("frame_rate")
    return same
