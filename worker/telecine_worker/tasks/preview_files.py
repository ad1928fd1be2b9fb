"""Files of moving previews by extension: the encoder, and how the pictures get there."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import animated_webp
from telecine_worker.ffmpeg.media_info import VideoStream
from telecine_worker.ffmpeg.values import MAX_PICTURE_PX, MAX_SIDE_PX
from telecine_worker.tasks import colors
from telecine_worker.tasks.encoders import check_encoder
from telecine_worker.tasks.extensions import by_extension

# A palette is known when the last picture was seen: until then all of them wait, with four bytes a pixel.
MOST_WAITING_PX = 64_000_000
ANIMATION_ENCODER = "libwebp_anim"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewFile:
    """*encoders* are tried in this order. *graph* is what is done to all pictures together; *codec* is what probing calls it.

    *most_pixels* bounds the pixels of all pictures together; 0: it does not. *only_matrix* is that of YUV, where there is no
    other.
    """

    extension: str
    encoders: tuple[str, ...]
    codec: str
    pixel_format: str
    graph: str
    options: tuple[str, ...]
    media_type: str
    formats: tuple[str, ...]
    most_rate: int
    most_side_px: int = MAX_SIDE_PX
    most_pixels: int = 0
    moov_first: bool = False
    only_matrix: str = ""

    def encoder(self, there: Set[str]) -> str:
        """Of those that are *there*. Raises AttemptFailed ENCODER_MISSING."""
        chosen = next((name for name in self.encoders if name in there), self.encoders[-1])
        check_encoder(chosen, there)
        return chosen

    def matrix_of(self, source: VideoStream) -> str:
        """That by which pictures of *source* are stored; empty for RGB, and for one that is not converted."""
        return self.only_matrix or colors.common_matrix(source, self.pixel_format, tone_mapped=False)

    def check_size(self, wide: int, high: int, frames: int) -> None:
        """Raise AttemptFailed OPTION_INVALID where so many pictures of this size are too much."""
        if max(wide, high) > self.most_side_px or wide * high > MAX_PICTURE_PX:
            raise permanent(
                "OPTION_INVALID",
                f"width_px: pictures of {wide}x{high} px; at most {self.most_side_px} px on a side and {MAX_PICTURE_PX} "
                "pixels would be right",
            )
        if self.most_pixels and wide * high * frames > self.most_pixels:
            raise permanent(
                "OPTION_INVALID",
                f"{frames} pictures of {wide}x{high} px are too much for a {self.extension}: at most "
                f"{self.most_pixels // (wide * high)} of this size would be right, or mp4",
            )


PREVIEW_FILES: dict[str, PreviewFile] = {
    file.extension: file
    for file in (
        PreviewFile(
            extension="gif",
            encoders=("gif",),
            codec="gif",
            pixel_format="rgb24",
            # By all pictures: "diff" does not count the colours of the last one.
            graph="split[all][used];[all]palettegen=stats_mode=full[palette];"
            "[used][palette]paletteuse=dither=bayer:bayer_scale=3:diff_mode=rectangle",
            options=("-loop", "0", "-f", "gif"),
            media_type="image/gif",
            formats=("gif",),
            # A picture lasts a whole number of hundredths of a second, and players show one of less than two for ten.
            most_rate=50,
            most_pixels=MOST_WAITING_PX,
        ),
        PreviewFile(
            extension="webp",
            encoders=(ANIMATION_ENCODER, "libwebp"),
            codec="webp",
            pixel_format="yuv420p",
            graph="null",
            options=("-quality", "75", "-loop", "0", "-f", "webp"),
            media_type="image/webp",
            formats=(animated_webp.FORMAT,),
            only_matrix="smpte170m",
            most_rate=60,
            most_pixels=MOST_WAITING_PX,
        ),
        PreviewFile(
            extension="mp4",
            encoders=("libx264",),
            codec="h264",
            pixel_format="yuv420p",
            graph="null",
            options=("-preset", "medium", "-crf", "23", "-movflags", "+faststart", "-f", "mp4"),
            media_type="video/mp4",
            formats=("mov,mp4,m4a,3gp,3g2,mj2",),
            most_rate=60,
            moov_first=True,
        ),
    )
}


def preview_file_of(path: str) -> PreviewFile:
    """By the extension of *path*. Raises AttemptFailed UNSUPPORTED_CONTAINER."""
    return by_extension(PREVIEW_FILES, path)
