"""What lies in the segments of a track (CMAF: fragmented MP4), read from their own boxes: times, key frames, sizes.

Nothing is decoded and no media data is read, so that a film of hours is looked through in seconds. What FFmpeg's muxer says
about its segments elsewhere, in its manifest, is not believed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from telecine_worker.ffmpeg.boxes import BoxError, children, file_boxes, has, inner
from telecine_worker.ffmpeg.codec_strings import codec_string

MOST_INDEX_BYTES = 16 * 1024 * 1024
# Of sample flags (14496-12, 8.8.3.1): sample_is_non_sync_sample.
_NON_SYNC = 0x10000
# Of trun: what stands for each sample, in this order.
_PER_SAMPLE = (0x100, 0x200, 0x400, 0x800)


@dataclass(frozen=True, slots=True, kw_only=True)
class Init:
    """An init segment. *shift* is what its edit list takes off every time, in ticks: the delay of reordered pictures, or the
    samples an audio encoder needs before the first one. *defaults* are duration and flags of a sample.
    """

    timescale: int
    shift: int
    codecs: str
    width_px: int
    height_px: int
    defaults: tuple[int, int]

    @property
    def is_picture(self) -> bool:
        """Or else sound, whose every sample is a key frame."""
        return self.width_px > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Times are seconds from the beginning of the presentation. *keys* has the times of the key frames of pictures."""

    start: Fraction
    end: Fraction
    frame_count: int
    keys: tuple[Fraction, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Sample:
    decoded: int
    shown: int
    duration: int
    is_key: bool


def read_init(fd: int) -> Init:
    """The open init segment *fd*. Raises BoxError."""
    moov = _index(fd, b"moov")
    try:
        return _init(moov)
    except (struct.error, IndexError):
        raise BoxError("its index (moov) is too short") from None


def _init(moov: bytes) -> Init:
    trak = inner(moov, b"trak")
    mdia = inner(trak, b"mdia")
    timescale = struct.unpack_from(">I", inner(mdia, b"mdhd"), 12)[0]
    entries = inner(mdia, b"minf", b"stbl", b"stsd")[8:]
    name, entry = next(children(entries))
    wide, high = struct.unpack_from(">HH", entry, 24) if inner(mdia, b"hdlr")[8:12] == b"vide" else (0, 0)
    _, duration, _, flags = struct.unpack_from(">4I", inner(moov, b"mvex", b"trex"), 8)
    return Init(
        timescale=timescale, shift=_shift(trak), codecs=codec_string(name, entry), width_px=wide, height_px=high,
        defaults=(duration, flags),
    )  # fmt: skip


def _shift(trak: bytes) -> int:
    if not has(trak, b"edts"):
        return 0
    edits = inner(trak, b"edts", b"elst")
    if struct.unpack_from(">I", edits, 4)[0] != 1:
        raise BoxError("its edit list has more than one part: players disagree about those")
    return int(struct.unpack_from(">q", edits, 16)[0] if edits[0] else struct.unpack_from(">i", edits, 12)[0])


def read_segment(fd: int, init: Init) -> Segment:
    """The open media segment *fd*. Raises BoxError; also where times go back, or two pictures share one."""
    moof = _index(fd, b"moof")
    try:
        samples = list(_samples(moof, init))
    except (struct.error, IndexError):
        raise BoxError("its index (moof) is too short") from None
    if not samples:
        raise BoxError("it holds no samples")
    if any(after.decoded <= before.decoded for before, after in pairwise(samples)):
        raise BoxError("its decoding times do not grow")
    if len({sample.shown for sample in samples}) < len(samples):
        raise BoxError("two of its pictures have the same time")
    return Segment(
        start=_seconds(min(sample.shown for sample in samples), init),
        end=_seconds(max(sample.shown + sample.duration for sample in samples), init),
        frame_count=len(samples),
        keys=tuple(_seconds(sample.shown, init) for sample in samples if sample.is_key and init.is_picture),
        size_bytes=os.fstat(fd).st_size,
    )


def _seconds(ticks: int, init: Init) -> Fraction:
    return Fraction(ticks - init.shift, init.timescale)


def _index(fd: int, name: bytes) -> bytes:
    """The content of the one box *name*; a segment with several would have times of its own in each."""
    found = [box for box in file_boxes(fd) if box.name == name]
    if len(found) != 1:
        raise BoxError(f"it has {len(found)} boxes {name.decode()}; one would be right")
    if found[0].size > MOST_INDEX_BYTES:
        raise BoxError(f"its box {name.decode()} has {found[0].size} bytes; at most {MOST_INDEX_BYTES} are read")
    return os.pread(fd, found[0].size - 8, found[0].offset + 8)


def _samples(moof: bytes, init: Init) -> Iterator[_Sample]:
    """Of the one track fragment (traf) with one run (trun) that our muxer writes."""
    traf = inner(moof, b"traf")
    names = [name for name, _ in children(traf)]
    if names.count(b"trun") != 1:
        raise BoxError(f"it has {names.count(b'trun')} runs of samples; one would be right")
    duration, default_flags = _fragment_defaults(inner(traf, b"tfhd"), init)
    base = inner(traf, b"tfdt")
    at: int = struct.unpack_from(">Q", base, 4)[0] if base[0] else struct.unpack_from(">I", base, 4)[0]
    run = inner(traf, b"trun")
    flags, count = struct.unpack_from(">II", run)
    flags &= 0xFFFFFF
    offset = 8 + (4 if flags & 1 else 0)
    first_flags = default_flags
    if flags & 4:
        first_flags = struct.unpack_from(">I", run, offset)[0]
        offset += 4
    # Composition offsets are signed from version 1 on; below, nothing of ours reaches the sign.
    form = struct.Struct(">" + "".join("i" if bit == 0x800 else "I" for bit in _PER_SAMPLE if flags & bit))
    present = [bit for bit in _PER_SAMPLE if flags & bit]
    for number in range(count):
        values = dict(zip(present, form.unpack_from(run, offset + number * form.size), strict=True))
        lasts = values.get(0x100, duration)
        sample_flags = values.get(0x400, default_flags if number else first_flags)
        yield _Sample(at, at + values.get(0x800, 0), lasts, not sample_flags & _NON_SYNC)
        at += lasts


def _fragment_defaults(tfhd: bytes, init: Init) -> tuple[int, int]:
    duration, sample_flags = init.defaults
    flags = struct.unpack_from(">I", tfhd)[0] & 0xFFFFFF
    offset = 8
    for bit, size in ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4), (0x20, 4)):
        if not flags & bit:
            continue
        if bit == 0x8:
            duration = struct.unpack_from(">I", tfhd, offset)[0]
        if bit == 0x20:
            sample_flags = struct.unpack_from(">I", tfhd, offset)[0]
        offset += size
    return duration, sample_flags
