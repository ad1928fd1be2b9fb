"""What is said of the tracks of a package, and what is found wrong with them, from their times alone."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from xml.etree import ElementTree

import pytest

from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.expected import Expected, ExpectedAudio, ExpectedVideo
from telecine_worker.ffmpeg.expected_package import ExpectedPackage, ExpectedTrack
from telecine_worker.ffmpeg.manifest import manifest
from telecine_worker.ffmpeg.package_tracks import Track
from telecine_worker.ffmpeg.playlists import master_playlist, media_playlist, target_duration
from telecine_worker.ffmpeg.segments import Init, Segment
from telecine_worker.ffmpeg.verify_package import check_tracks


def segment(start: float, end: float, *, size: int = 1000, keys: tuple[float, ...] = ()) -> Segment:
    """With 10 frames a second."""
    return Segment(
        start=Fraction(start).limit_denominator(1000),
        end=Fraction(end).limit_denominator(1000),
        frame_count=round((end - start) * 10),
        keys=tuple(Fraction(key).limit_denominator(1000) for key in keys),
        size_bytes=size,
    )


def picture(name: str, *segments: Segment, frames: int | None = 50) -> Track:
    """A rendition."""
    video = ExpectedVideo(codec="h264", frame_count=frames)
    stream = Expected(path=f"p/{name}.m3u8", file_name=f"{name}.m3u8", media_type="", formats=(), video=video)
    init = Init(timescale=1000, shift=0, codecs="avc1.42c00b", width_px=160, height_px=90, defaults=(0, 0))
    planned = ExpectedTrack(name=name, stream=stream, frame_rate=Fraction(10))
    return Track(planned=planned, init=init, segments=segments)


def sound(*segments: Segment) -> Track:
    """Stereo."""
    audio = ExpectedAudio(codec="aac", sample_rate_hz=48000, channel_count=2)
    stream = Expected(path="p/audio.m3u8", file_name="audio.m3u8", media_type="", formats=(), audio=audio)
    init = Init(timescale=48000, shift=1024, codecs="mp4a.40.2", width_px=0, height_px=0, defaults=(0, 0))
    return Track(planned=ExpectedTrack(name="audio", stream=stream), init=init, segments=segments)


RIGHT = (segment(0, 2, keys=(0, 1)), segment(2, 4, keys=(2, 3), size=3000), segment(4, 5, keys=(4,), size=500))
SOUND = sound(segment(-0.02, 2.1), segment(2.1, 4.9, size=2000), segment(4.9, 5.02, size=10))


def package(*tracks: Track) -> ExpectedPackage:
    """A GOP of a second, a segment of two."""
    return ExpectedPackage(
        directory="p", tracks=tuple(track.planned for track in tracks), gop_seconds=Fraction(1),
        segment_seconds=Fraction(2), with_hls=True, with_dash=True,
    )  # fmt: skip


def check(*tracks: Track, encoded_frames: int | None = 50) -> None:
    """As after encoding."""
    check_tracks(package(*tracks), list(tracks), encoded_frames=encoded_frames)


def test_what_is_as_planned_passes():
    """Two renditions and sound, whose segments are not those of the pictures."""
    check(picture("a", *RIGHT), picture("b", *RIGHT), SOUND)


@pytest.mark.parametrize(
    ("tracks", "said"),
    [
        ([picture("a", RIGHT[0], RIGHT[2])], "segment 2 begins at 4.000000 s, the one before ends at 2.000000"),
        ([picture("a", *RIGHT[:2])], "40 pictures, planned was 50"),
        ([picture("a", *RIGHT), picture("b", *RIGHT[:2], frames=40)], "2 segments, a has 3"),
        ([picture("a", replace(RIGHT[0], keys=(Fraction(0),)), *RIGHT[1:])], "segment 1 has key frames at 0.000 s"),
        ([picture("a", replace(RIGHT[0], keys=(*RIGHT[0].keys, Fraction(3, 2))), *RIGHT[1:])], "0.000, 1.000, 1.500"),
        ([picture("a", RIGHT[0], replace(RIGHT[1], keys=(Fraction(2), Fraction(31, 10))), RIGHT[2])], "2.000, 3.100"),
        ([picture("a", segment(0, 5, keys=(0, 1, 2, 3, 4))), picture("b", *RIGHT)], "3 segments, a has 1"),
        ([picture("a", *RIGHT), sound(segment(0.06, 5))], "begins 0.060 s after"),
        ([picture("a", *RIGHT), sound(segment(-0.06, 5))], "begins -0.060 s after"),
        ([picture("a", *RIGHT), sound(segment(0, 2), segment(2.01, 5))], "begins at 2.010000"),
    ],
)
def test_what_is_not_is_found(tracks, said):
    """Each alone, named with the segment and both values."""
    with pytest.raises(AttemptFailed) as error:
        check(*tracks, encoded_frames=None)
    assert "VERIFICATION_FAILED" == error.value.failure.reason
    assert said in error.value.failure.message


def test_what_the_encoder_made_is_there():
    """To the picture, whatever the tolerance of the plan."""
    with pytest.raises(AttemptFailed, match="50 pictures, 51 were encoded"):
        check(picture("a", *RIGHT), encoded_frames=51)


def test_the_peak_is_of_half_to_one_and_a_half_target_durations():
    """Short segments at the end count together with the one before, and alone only where there is nothing else."""
    track = picture("a", *RIGHT)
    assert 2 == target_duration([track])
    assert 3 == target_duration([track, sound(segment(0, 2.1))])
    assert (12_000, 7_200) == (track.peak_bps(2), track.average_bps())
    burst = picture("a", RIGHT[0], RIGHT[1], segment(4, 4.1, keys=(4,), size=900))
    assert round(8 * 3900 / 2.1) + 1 >= burst.peak_bps(2) >= round(8 * 3900 / 2.1)
    assert 8 * 900 * 10 == picture("a", segment(0, 0.1, size=900)).peak_bps(2)


def test_playlists_have_what_was_measured():
    """Every duration and name; one target duration for all; bandwidths of picture and sound together."""
    track = picture("a", *RIGHT)
    target = target_duration([track, SOUND])
    lines = media_playlist(track, target).splitlines()
    assert ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS", "#EXT-X-TARGETDURATION:3"] == lines[:4]
    assert '#EXT-X-MAP:URI="init_a.mp4"' in lines
    assert ["#EXTINF:1.000000,", "a_00003.m4s", "#EXT-X-ENDLIST"] == lines[-3:]
    master = master_playlist([track], SOUND, target)
    assert f"BANDWIDTH={track.peak_bps(3) + SOUND.peak_bps(3)},AVERAGE-BANDWIDTH=" in master
    assert 'CODECS="avc1.42c00b,mp4a.40.2",RESOLUTION=160x90,FRAME-RATE=10.000,AUDIO="audio"' in master
    assert 'CHANNELS="2",URI="audio.m3u8"' in master


@pytest.mark.parametrize(("transfer", "said"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG"), ("bt709", ""), ("", "")])
def test_hdr_is_told(transfer, said):
    """Players choose by it; what is not said is SDR."""
    right = picture("a", *RIGHT)
    video = ExpectedVideo(codec="hevc", color_transfer=transfer)
    stream = replace(right.planned.stream, video=video)
    track = replace(right, planned=replace(right.planned, stream=stream))
    found = re.findall(r",VIDEO-RANGE=(\w+)", master_playlist([track], None, 2))
    assert ([said] if said else []) == found


def test_the_manifest_has_the_same():
    """Times are ticks of each track; what is before 0 is not presented; renditions of one codec are one set."""
    other = picture("b", *RIGHT)
    vp9 = replace(picture("c", *RIGHT), init=replace(other.init, codecs="vp09.00.10.08"))
    root = ElementTree.fromstring(manifest([picture("a", *RIGHT), vp9, other], SOUND, 3))
    space = "{urn:mpeg:dash:schema:mpd:2011}"
    sets = root[0].findall(f"{space}AdaptationSet")
    assert [["a", "b"], ["c"], ["audio"]] == [[str(each.get("id")) for each in group] for group in sets]
    times = [[dict(each.attrib) for each in group[0].iter(f"{space}S")] for group in (sets[0], sets[2])]
    assert [{"t": "0", "d": "2000", "r": "1"}, {"d": "1000"}] == times[0]
    assert ["0", None, None] == [each.get("t") for each in times[1]]
    assert round(5.02 * 48000) == sum(int(each["d"]) for each in times[1])
    assert "PT5.020000S" == root.get("mediaPresentationDuration")


def test_files_are_published_before_what_names_them():
    """Playlists of tracks, then the master; the manifest last."""
    found = [expected.file_name for expected in package(picture("a", *RIGHT), SOUND).listings()]
    assert ["a.m3u8", "audio.m3u8", "master.m3u8", "manifest.mpd"] == found


def test_the_language_is_told():
    """Of the sound, in both listings, where it is a code; nothing else of what a source says gets there."""
    track = picture("a", *RIGHT)
    for language, said in (("deu", "deu"), ("de", "de"), ("", None), ('x",URI="y', None), ("Klingon", None)):
        spoken = replace(SOUND, planned=replace(SOUND.planned, language=language))
        (line,) = [line for line in master_playlist([track], spoken, 3).splitlines() if "TYPE=AUDIO" in line]
        assert ([said] if said else []) == re.findall(r'LANGUAGE="(.*?)"', line)
        sets = list(ElementTree.fromstring(manifest([track], spoken, 3))[0])
        assert [None, said] == [each.get("lang") for each in sets]


@pytest.mark.parametrize(
    ("channels", "number"), [(1, "1"), (2, "2"), (3, "3"), (4, "10"), (5, "5"), (6, "6"), (7, "11"), (8, "12")]
)
def test_layouts_have_their_numbers(channels, number):
    """Those of ISO/IEC 23091-3: 4 is one with a centre behind, 7 one of eight channels."""
    stream = replace(SOUND.planned.stream, audio=ExpectedAudio(codec="aac", channel_count=channels))
    root = ElementTree.fromstring(manifest([], replace(SOUND, planned=replace(SOUND.planned, stream=stream)), 3))
    (said,) = root.iter("{urn:mpeg:dash:schema:mpd:2011}AudioChannelConfiguration")
    assert number == said.get("value")


def test_the_end_of_a_track_has_a_playlist():
    """Of the segments that together last as long as is asked for, or all."""
    track = picture("a", *RIGHT)
    assert [3, 2, 2, 1, 1] == [track.last_segments(seconds) for seconds in (1, 2, 3, 4, 9)]
    lines = media_playlist(track, 2, first=2).splitlines()
    assert ["a_00002.m4s", "a_00003.m4s"] == [line for line in lines if line.endswith(".m4s")]
    assert {'#EXT-X-MAP:URI="init_a.mp4"', "#EXT-X-MEDIA-SEQUENCE:2", "#EXT-X-ENDLIST"} < set(lines)
