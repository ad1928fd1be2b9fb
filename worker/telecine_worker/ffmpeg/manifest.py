"""The DASH manifest (ISO/IEC 23009-1, profile isoff-live) of a finished package, over the segments that HLS uses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from xml.etree import ElementTree

from telecine_worker.ffmpeg.package_tracks import Track

_NAMESPACE = "urn:mpeg:dash:schema:mpd:2011"
_CHANNELS = "urn:mpeg:mpegB:cicp:ChannelConfiguration"
# ISO/IEC 23091-3 numbers the usual layouts as their channels, but for quad, 6.1 and 7.1.
_LAYOUT_NUMBERS = {4: 10, 7: 11, 8: 12}


def manifest(pictures: Sequence[Track], sound: Track | None, target_seconds: int) -> str:
    """Renditions of one codec are one adaptation set: players switch within it."""
    tracks = [*pictures, *([] if sound is None else [sound])]
    mpd = ElementTree.Element(
        "MPD",
        xmlns=_NAMESPACE,
        profiles="urn:mpeg:dash:profile:isoff-live:2011",
        type="static",
        mediaPresentationDuration=_duration(max(track.end for track in tracks)),
        maxSegmentDuration=f"PT{target_seconds}S",
        minBufferTime=f"PT{target_seconds}S",
    )
    period = ElementTree.SubElement(mpd, "Period", id="0", start="PT0S")
    for number, group in enumerate(_groups(pictures)):
        _adaptation_set(period, number, "video", group, target_seconds)
    if sound is not None:
        _adaptation_set(period, len(period), "audio", [sound], target_seconds)
    ElementTree.indent(mpd)
    return ElementTree.tostring(mpd, encoding="unicode", xml_declaration=True) + "\n"


def _groups(pictures: Sequence[Track]) -> Iterator[list[Track]]:
    """By codec, in the order of the first of each."""
    families = list(dict.fromkeys(_family(track) for track in pictures))
    for family in families:
        yield [track for track in pictures if _family(track) == family]


def _family(track: Track) -> str:
    return track.init.codecs.partition(".")[0]


def _adaptation_set(
    period: ElementTree.Element, number: int, kind: str, tracks: Sequence[Track], target_seconds: int
) -> None:
    group = ElementTree.SubElement(
        period, "AdaptationSet", id=str(number), contentType=kind, mimeType=f"{kind}/mp4", segmentAlignment="true",
        startWithSAP="1",
    )  # fmt: skip
    if tracks[0].language:
        group.set("lang", tracks[0].language)
    for track in tracks:
        _representation(group, track, target_seconds)


def _representation(group: ElementTree.Element, track: Track, target_seconds: int) -> None:
    attributes = {"id": track.name, "codecs": track.init.codecs, "bandwidth": str(track.peak_bps(target_seconds))}
    audio = track.planned.stream.audio
    if track.init.is_picture:
        rate = track.planned.frame_rate or Fraction(0)
        attributes |= {"width": str(track.init.width_px), "height": str(track.init.height_px), "sar": "1:1"}
        attributes["frameRate"] = f"{rate.numerator}/{rate.denominator}"
    elif audio is not None and audio.sample_rate_hz:
        attributes["audioSamplingRate"] = str(audio.sample_rate_hz)
    representation = ElementTree.SubElement(group, "Representation", attributes)
    if audio is not None and audio.channel_count:
        value = str(_LAYOUT_NUMBERS.get(audio.channel_count, audio.channel_count))
        ElementTree.SubElement(representation, "AudioChannelConfiguration", schemeIdUri=_CHANNELS, value=value)
    _template(representation, track)


def _template(representation: ElementTree.Element, track: Track) -> None:
    template = ElementTree.SubElement(
        representation, "SegmentTemplate", timescale=str(track.init.timescale), startNumber="1",
        initialization="init_$RepresentationID$.mp4", media="$RepresentationID$_$Number%05d$.m4s",
    )  # fmt: skip
    timeline = ElementTree.SubElement(template, "SegmentTimeline")
    ticks = [round(duration * track.init.timescale) for duration in track.durations()]
    for number, (value, run) in enumerate(itertools.groupby(ticks)):
        start = {} if number else {"t": str(round(max(Fraction(0), track.segments[0].start) * track.init.timescale))}
        more = len(list(run)) - 1
        ElementTree.SubElement(timeline, "S", start | {"d": str(value)} | ({"r": str(more)} if more else {}))


def _duration(seconds: Fraction) -> str:
    return f"PT{float(seconds):.6f}S"
