"""Everything that is done to the pictures of a source before they are encoded, in the order of the contract.

Deinterlaced, cropped, scaled, tone mapped; then watermark, the wanted rate, and subtitles, at the size of the result, so that
they are sharp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.tasks import colors, picture, subtitles, watermark
from telecine_worker.tasks.filter_text import chain, filter_text
from telecine_worker.tasks.plan import Argument, InputPlace, Step

FILTERS = picture.FILTERS | colors.FILTERS | watermark.FILTERS | subtitles.FILTERS | {"crop"}
"""What every full build of FFmpeg has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureGraph:
    """*before* and *after* are the filters on both sides of the watermark; *mark_input* is the input that it is, empty: none.

    *width_px*, *height_px* and *pixel_format* are of the pictures that are encoded, *color_transfer* too, where it is sure.
    *steps* come before every other one. *needed* are the filters that a build of FFmpeg may be without, with what needs each.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    width_px: int
    height_px: int
    pixel_format: str
    color_transfer: str = ""
    mark: watermark.Mark | None = None
    mark_input: str = ""
    steps: tuple[Step, ...] = ()
    needed: Mapping[str, str] = field(default_factory=dict)

    def inputs(self) -> list[Argument]:
        """The second -i, where there is one."""
        return [*whitelists.BEFORE_INPUT, "-i", InputPlace(self.mark_input)] if self.mark is not None else []

    def options(self, stream: int, *last: str) -> list[str]:
        """The options that map video *stream* of the first input through the graph, *last* at its end."""
        if self.mark is None:
            return ["-map", f"0:{stream}", "-vf", chain([*self.before, *self.after, *last])]
        return ["-filter_complex", self.text(f"0:{stream}", "1:v:0", "picture", *last), "-map", "[picture]"]

    def text(self, source: str, mark: str, result: str, *last: str) -> str:
        """The whole graph, from the streams *source* and *mark* to one with the label *result*. Labels within it begin with
        that: there may be several beside each other.
        """
        if self.mark is None:
            return f"[{source}]{chain([*self.before, *self.after, *last])}[{result}]"
        over = chain([self.mark.over, *self.after, *last])
        film, image = f"[{result}film]", f"[{result}mark]"
        return f"[{source}]{chain(self.before)}{film};[{mark}]{self.mark.image}{image};{film}{image}{over}[{result}]"


def input_names(filters: media_pb2.Filters) -> frozenset[str]:
    """The inputs that *filters* use."""
    named = {filters.burn_subtitles, filters.watermark.input if filters.HasField("watermark") else ""}
    return frozenset(named - {""})


def build(
    video: media_pb2.Video,
    filters: media_pb2.Filters,
    source: VideoStream,
    inputs: Mapping[str, MediaInfo],
    *,
    start: timedelta = timedelta(0),
    timed: Sequence[str] = (),
) -> PictureGraph:
    """What *video* and *filters* make of *source*, of which what comes after *start* is used. The filters *timed* come before
    subtitles, which change while a picture stands, and after everything else. Raises AttemptFailed.
    """
    cropped = shown(filters, source)
    wide, high = picture.size(video, cropped)
    tone_mapped = colors.is_tone_mapped(video, source)
    pixel_format = colors.pixel_format(video, source)
    if input_names(filters) and colors.is_hdr(source) and not tone_mapped:
        raise permanent(
            "UNSUPPORTED_OPTION",
            "filters.watermark and filters.burn_subtitles over HDR would be far too bright; set video.tone_map_to_sdr",
        )
    matrix = colors.matrix(cropped, tone_mapped=tone_mapped)
    chosen = "" if tone_mapped else colors.chosen_matrix(cropped)
    before = [
        *picture.deinterlacing(source, asked=filters.deinterlace),
        *_crop(filters, source, matrix=chosen),
        *picture.scaled(wide, high, matrix=chosen),
        *([*colors.completed(source), *colors.tone_mapping(pixel_format)] if tone_mapped else []),
    ]
    graph = PictureGraph(
        before=tuple(before),
        after=(filter_text("format", pixel_format), *colors.said(chosen)),
        width_px=wide,
        height_px=high,
        pixel_format=pixel_format,
        color_transfer=colors.SDR_TRANSFER if tone_mapped else source.color_transfer if colors.is_hdr(source) else "",
        needed={colors.TONE_MAPPING_FILTER: "video.tone_map_to_sdr"} if tone_mapped else {},
    )
    marked = _marked(graph, filters, inputs, matrix)
    # What makes pictures anew comes before the rate: FFmpeg 9 keeps all those that fill a gap, 3 MB each or the same one.
    return _burnt(replace(marked, after=(*marked.after, *picture.rate(video), *timed)), filters, inputs, start)


def shown(filters: media_pb2.Filters, source: VideoStream) -> VideoStream:
    """The source as if it had no more than the part that is used. Raises AttemptFailed OPTION_INVALID."""
    if not filters.HasField("crop"):
        return source
    crop = filters.crop
    if min(crop.left_px, crop.top_px) < 0 or min(crop.width_px, crop.height_px) <= 0:
        raise permanent("OPTION_INVALID", "filters.crop has no size, or begins before 0")
    if crop.left_px + crop.width_px > source.width_px or crop.top_px + crop.height_px > source.height_px:
        raise permanent(
            "OPTION_INVALID",
            f"filters.crop of {crop.width_px}x{crop.height_px} px at {crop.left_px},{crop.top_px} is not within the picture, "
            f"which is shown with {source.width_px}x{source.height_px} px",
        )
    return replace(source, width_px=crop.width_px, height_px=crop.height_px)


def _crop(filters: media_pb2.Filters, source: VideoStream, *, matrix: str) -> list[str]:
    """After the picture has its shown size: that is what the rectangle is of."""
    if not filters.HasField("crop"):
        return []
    crop = filters.crop
    rectangle = filter_text("crop", crop.width_px, crop.height_px, crop.left_px, crop.top_px, exact=1)
    return [*picture.scaled(source.width_px, source.height_px, matrix=matrix), rectangle]


def _marked(
    graph: PictureGraph, filters: media_pb2.Filters, inputs: Mapping[str, MediaInfo], matrix: tuple[str, str]
) -> PictureGraph:
    if not filters.HasField("watermark"):
        return graph
    wanted = filters.watermark
    drawn = watermark.mark(
        wanted,
        inputs[wanted.input],
        frame_width_px=graph.width_px,
        pixel_format=graph.pixel_format,
        matrix=matrix,
    )
    return replace(graph, before=(*graph.before, *graph.after), mark=drawn, mark_input=wanted.input)


def _burnt(
    graph: PictureGraph, filters: media_pb2.Filters, inputs: Mapping[str, MediaInfo], start: timedelta
) -> PictureGraph:
    name = filters.burn_subtitles
    if not name:
        return graph
    subtitles.check(name, inputs[name])
    # Before it: it draws in whatever format comes.
    return replace(
        graph,
        after=(*graph.after, *subtitles.burning(start)),
        steps=(subtitles.conversion(name, inputs[name]),),
        needed={**graph.needed, subtitles.FILTER: "filters.burn_subtitles"},
    )
