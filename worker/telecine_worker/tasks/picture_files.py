"""Files of still pictures by extension: the encoder, and the picture that goes into it."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass

from telecine_worker.failure import permanent
from telecine_worker.tasks.encoders import check_encoder
from telecine_worker.tasks.extensions import by_extension


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFile:
    """*codec* is what probing calls it; *matrix* is that of *pixel_format*, empty for RGB. *max_side_px* is the format's."""

    codec: str
    encoder: str
    options: tuple[str, ...]
    media_type: str
    formats: tuple[str, ...]
    pixel_format: str
    max_side_px: int
    matrix: str = ""

    def conversion(self, wide: int, high: int) -> str:
        """Filters from any picture, rotated already, to this one, with square pixels."""
        colours = f":out_color_matrix={self.matrix}" if self.matrix else ""
        return f"scale={wide}:{high}:flags=bicubic{colours},setsar=1,format={self.pixel_format}"


_NUMBER = re.compile(r"%(?:0[1-9])?d")

_JPEG = PictureFile(
    codec="mjpeg",
    encoder="mjpeg",
    options=("-q:v", "3"),
    media_type="image/jpeg",
    formats=("jpeg_pipe",),
    pixel_format="yuvj420p",
    max_side_px=65500,
    # What JFIF means by YCbCr, whatever the video had: BT.601, in full range, which the pixel format says already.
    matrix="bt601",
)
PICTURE_FILES: dict[str, PictureFile] = {
    "jpg": _JPEG,
    "jpeg": _JPEG,
    "png": PictureFile(
        codec="png",
        encoder="png",
        options=(),
        media_type="image/png",
        formats=("png_pipe",),
        pixel_format="rgb24",
        max_side_px=2**31 - 1,
    ),
    "webp": PictureFile(
        codec="webp",
        encoder="libwebp",
        options=("-quality", "80"),
        media_type="image/webp",
        formats=("webp_pipe",),
        pixel_format="yuv420p",
        max_side_px=16383,
        # WebP's YUV is BT.601, too; in limited range, the only one that the encoder takes.
        matrix="bt601",
    ),
}


def picture_file_of(path: str) -> PictureFile:
    """By the extension of *path*. Raises AttemptFailed UNSUPPORTED_CONTAINER."""
    return by_extension(PICTURE_FILES, path)


def numbered_file_of(path: str, encoders: Set[str]) -> PictureFile:
    """That of each file of the pattern *path*. Raises AttemptFailed UNSUPPORTED_CONTAINER, OPTION_INVALID, ENCODER_MISSING."""
    file = picture_file_of(path)
    _check_pattern(path)
    check_encoder(file.encoder, encoders)
    return file


def staged_pattern(path: str) -> str:
    """What the files of the pattern *path* are called while they are staged, counted from 1."""
    return f"out-%d.{path.rpartition('.')[2].lower()}"


def _check_pattern(path: str) -> None:
    folders, _, name = path.rpartition("/")
    if "%" in folders or name.count("%") != 1 or not _NUMBER.search(name):
        raise permanent(
            "OPTION_INVALID",
            f"path {path!r} needs one %d, or %03d and the like, in the name of the file, and no other %",
        )


def numbered(pattern: str, number: int) -> str:
    """The path of one file, by a pattern that was checked."""
    return _NUMBER.sub(lambda match: match[0] % number, pattern)
