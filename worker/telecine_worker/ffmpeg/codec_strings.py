"""Codecs as players want them named (RFC 6381), from the sample entry of an init segment.

Sources: avc1 and hvc1 from ISO/IEC 14496-15 annex E, av01 and vp09 from the bindings of these codecs to the ISO media file
format, mp4a from RFC 6381 section 3.3.
"""

from __future__ import annotations

import struct

from telecine_worker.ffmpeg.boxes import BoxError, inner

# Fixed fields of VisualSampleEntry and AudioSampleEntry, before the boxes.
PICTURE_ENTRY_BYTES = 78
SOUND_ENTRY_BYTES = 28


def codec_string(name: bytes, entry: bytes) -> str:
    """Of the sample entry *name* with the content *entry*. Raises BoxError for what no package of ours holds."""
    match name:
        case b"avc1":
            return "avc1." + inner(entry[PICTURE_ENTRY_BYTES:], b"avcC")[1:4].hex()
        case b"hvc1":
            return _hevc(inner(entry[PICTURE_ENTRY_BYTES:], b"hvcC"))
        case b"av01":
            return _av1(inner(entry[PICTURE_ENTRY_BYTES:], b"av1C"))
        case b"vp09":
            return _vp9(inner(entry[PICTURE_ENTRY_BYTES:], b"vpcC"))
        case b"mp4a":
            return _mpeg4_audio(inner(entry[SOUND_ENTRY_BYTES:], b"esds"))
        case b"Opus":
            return "opus"
        case b"fLaC" | b"ac-3":
            return name.decode()
        case _:
            raise BoxError(f"its codec is {name!r}, which no package holds")


def _hevc(box: bytes) -> str:
    """hvc1.<space and profile>.<compatibility, reversed>.<tier and level>.<constraints, without the zeros at the end>"""
    first, compatibility, constraints, level = struct.unpack_from(">BI6sB", box, 1)
    space = ("", "A", "B", "C")[first >> 6]
    reversed_bits = int(f"{compatibility:032b}"[::-1], 2)
    tier = "H" if first & 0x20 else "L"
    parts = [f"hvc1.{space}{first & 0x1F}", f"{reversed_bits:X}", f"{tier}{level}"]
    return ".".join([*parts, *(f"{byte:X}" for byte in constraints.rstrip(b"\0"))])


def _av1(box: bytes) -> str:
    """av01.<profile>.<level><tier>.<bits>"""
    first, second = box[1], box[2]
    high, twelve = bool(second & 0x40), bool(second & 0x20)
    bits = (12 if twelve and first >> 5 == 2 else 10) if high else 8
    return f"av01.{first >> 5}.{first & 0x1F:02d}{'H' if second & 0x80 else 'M'}.{bits:02d}"


def _vp9(box: bytes) -> str:
    """vp09.<profile>.<level>.<bits>"""
    profile, level, bits = box[4], box[5], box[6] >> 4
    return f"vp09.{profile:02d}.{level:02d}.{bits:02d}"


def _mpeg4_audio(box: bytes) -> str:
    """mp4a.<object type>.<audio object type>: AAC LC is mp4a.40.2."""
    offset = 4
    kind, offset = _descriptor(box, offset)
    if kind != 3:
        raise BoxError("its esds holds no elementary stream")
    # ES_ID and flags; our muxer sets none of the optional fields.
    kind, offset = _descriptor(box, offset + 3)
    if kind != 4:
        raise BoxError("its esds holds no decoder configuration")
    object_type = box[offset]
    kind, offset = _descriptor(box, offset + 13)
    return f"mp4a.{object_type:x}.{box[offset] >> 3}" if kind == 5 else f"mp4a.{object_type:x}"


def _descriptor(box: bytes, offset: int) -> tuple[int, int]:
    """Tag, and where its content begins: its length is 1 to 4 bytes of 7 bits."""
    kind = box[offset]
    offset += 1
    while box[offset] & 0x80:
        offset += 1
    return kind, offset + 1
