"""How long a result is, where the streams of a healthy source do not begin or end together, or say less than they seem to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from telecine_worker.outcome import Failed

X264 = ("-c:v", "libx264", "-preset", "veryfast")
VIDEO = {"codec": "h264", "preset": "ultrafast"}
AUDIO = {"codec": "aac"}
RARE = ("-vf", "select='lt(n,50)+not(mod(n,5))'", "-fps_mode", "vfr")
GAP = ("-vf", "setpts='PTS+if(gt(N,70),2,0)/TB'", "-fps_mode", "vfr")
# Soft, then loud: the first frames say little of how long it is.
NOISE = ("-f", "lavfi", "-i", "anoisesrc=r=48000:a=0.3:d=2")
UNEVEN = "aevalsrc='if(lt(t,6),0.0001*sin(440*t),0.5*random(0))':s=44100:d=12"


def pictures(seconds: float) -> tuple[str, ...]:
    """An input."""
    return ("-f", "lavfi", "-i", f"testsrc2=size=160x90:rate=25:duration={seconds}")


def sound(seconds: float) -> tuple[str, ...]:
    """An input."""
    return ("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}")


FILMS = {
    "late-sound.mp4": (*pictures(2), "-itsoffset", "0.9", *sound(2), *X264),
    "late-pictures.ts": ("-itsoffset", "0.9", *pictures(2), *sound(2), *X264),
    "short-sound.mkv": (*pictures(4), *sound(2), *X264),
    "short-pictures.mp4": (*pictures(2), *sound(4), *X264),
    "rare.mkv": (*pictures(6), *RARE, *X264),
    "rare.mp4": (*pictures(6), *RARE, *X264),
    "gap.mp4": (*pictures(4), *sound(6), *GAP, *X264),
    # What is told of these says less than what is there, or something else.
    "packed.ts": (*pictures(2), *NOISE, *X264, "-c:a", "aac", "-b:a", "64k"),
    "late-sound.ts": (*pictures(2), "-itsoffset", "0.9", *sound(2), *X264),
    "late-sound.wmv": (*pictures(2), "-itsoffset", "0.9", *sound(1), "-c:v", "wmv2", "-c:a", "wmav2"),
    "late-sound.avi": (*pictures(2), "-itsoffset", "0.9", *sound(1), "-c:v", "mpeg4", "-c:a", "ac3"),
    "held.mp4": (*pictures(2), *sound(2.5), "-vf", "select='lt(t,0.8)+eq(n,45)'", "-fps_mode", "vfr", *X264),
    "rare-silent.mp4": (*pictures(4), "-vf", "select='lt(n,10)+not(mod(n,30))'", "-fps_mode", "vfr", *X264),
    "long-packets.mkv": (*pictures(2), *sound(2.7), *X264, "-af", "asetnsamples=48000:p=0", "-c:a", "pcm_s16le"),
    "fragments.mp4": (*pictures(2), *sound(2), *X264, "-g", "25", "-movflags", "empty_moov+frag_keyframe+dash"),
    "uneven.aac": ("-f", "lavfi", "-i", UNEVEN, "-c:a", "aac", "-b:a", "128k"),
    "uneven.mp3": ("-f", "lavfi", "-i", UNEVEN, "-c:a", "libmp3lame", "-q:a", "2", "-write_xing", "0"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What comes of *film* lasts so many *seconds*, 0.2 more or less."""

    film: str
    seconds: float
    start: float = 0
    end: float = 0
    fields: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The test's."""
        kind = "+".join(field for field, _ in self.fields)
        return f"{self.film}-{self.start}-{self.end}-{kind}"


RATE = (("video", {**VIDEO, "frameRate": {"numerator": 10, "denominator": 1}}),)
SOUND = (("video", None),)
RENDITION = {"name": "s", "video": {**VIDEO, "frameRate": {"numerator": 25, "denominator": 1}, "heightPx": 90}}
PACKAGE = {"packaging": {"input": "main", "directory": "p", "renditions": [RENDITION], "gopDuration": "1s"}}
COPY = (("video", {"codec": "copy"}), ("audio", None))
CASES = (
    Case(film="late-sound.mp4", seconds=2.9),
    Case(film="late-sound.mp4", seconds=2.4, start=0.5),
    Case(film="late-pictures.ts", seconds=2.9, fields=RATE),
    Case(film="late-pictures.ts", seconds=1.5, start=1, end=2.5),
    Case(film="short-pictures.mp4", seconds=2.5, end=2.5),
    Case(film="short-pictures.mp4", seconds=1.5, start=1, end=2.5, fields=RATE),
    Case(film="short-sound.mkv", seconds=3, start=1),
    Case(film="rare.mkv", seconds=5.84),
    Case(film="rare.mkv", seconds=1.44, start=1, end=2.5),
    Case(film="rare.mp4", seconds=5.84),
    Case(film="rare.mkv", seconds=5.84, fields=COPY),
    Case(film="gap.mp4", seconds=1.3, start=2.2, end=3.5),
    Case(film="packed.ts", seconds=2),
    Case(film="late-sound.ts", seconds=2.9, fields=SOUND),
    Case(film="late-sound.wmv", seconds=2),
    Case(film="late-sound.avi", seconds=2),
    Case(film="held.mp4", seconds=2.5, fields=RATE),
    Case(film="rare-silent.mp4", seconds=3.64, fields=RATE),
    Case(film="long-packets.mkv", seconds=2.7),
    Case(film="fragments.mp4", seconds=2.08),
    Case(film="uneven.aac", seconds=12, fields=SOUND),
    Case(film="uneven.mp3", seconds=0.5, start=11.5, fields=SOUND),
)


def task(
    path: str = "o.mp4", start: float = 0, end: float = 0, fields: tuple[tuple[str, Any], ...] = ()
) -> dict[str, Any]:
    """A transcode, of a part where one is named."""
    trim = {name: f"{time}s" for name, time in (("start", start), ("end", end)) if time}
    whole = {"input": "main", "path": path, "video": VIDEO, "audio": AUDIO, **({"trim": trim} if trim else {})}
    return {"transcode": {name: value for name, value in {**whole, **dict(fields)}.items() if value is not None}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_healthy_source_passes_at_its_length(studio, clips, tools, case):
    """From where the first stream begins to where the last one ends, without a warning."""
    film = clips.make(case.film, *FILMS[case.film])
    ended = await studio.succeed(task("o.mkv", case.start, case.end, case.fields), {"main": film})
    assert () == ended.warnings
    ends = [stream["tags"]["DURATION"] for stream in tools.streams(studio.output / "o.mkv")]
    assert abs(case.seconds - max(float(end.rpartition(":")[2]) for end in ends)) < 0.2


async def test_a_part_without_a_picture_or_a_sound_is_refused(studio, clips):
    """By the stream of which nothing is left; without that stream it is right."""
    refused = [("short-pictures.mp4", "pictures", "video"), ("short-sound.mkv", "sound", "audio")]
    for name, kind, field in refused:
        film = clips.make(name, *FILMS[name])
        ended = await studio.run(task("o.mkv", 2.2, 3.5), {"main": film})
        assert isinstance(ended, Failed), ended
        assert "TRIM_OUT_OF_RANGE" == ended.failure.reason
        assert f"nothing is left of the {kind}" in ended.failure.message
        await studio.succeed(task(f"{kind}.mkv", 2.2, 3.5, ((field, None),)), {"main": film})


async def test_subtitles_may_go_on_after_the_film(studio, clips, tmp_path):
    """What only the container says of its length is about them."""
    text = tmp_path / "late.srt"
    text.write_text("1\n00:00:08,000 --> 00:00:12,000\nlate\n")
    film = clips.make("subtitled.mkv", *pictures(1), *sound(1), "-i", str(text), *X264, "-c:s", "srt")
    await studio.succeed(task(), {"main": film})


async def test_pictures_hidden_by_an_edit_list_are_not_expected(studio, clips, tools):
    """Cut between key frames without encoding, MP4 has more pictures than it shows; a copy that would show them is refused."""
    whole = clips.make("whole.mp4", *pictures(4), *X264, "-g", "1000")
    film = clips.make("edited.mp4", "-ss", "1.5", "-i", str(whole), "-c", "copy")
    await studio.succeed(task(), {"main": film})
    assert abs(62 - int(tools.video(studio.output / "o.mp4")["nb_read_packets"])) <= 1
    ended = await studio.run(task("copy.mkv", fields=COPY), {"main": film})
    assert isinstance(ended, Failed), ended
    assert "its edit list hides" in ended.failure.message
    await studio.succeed(task("copy.mp4", fields=COPY), {"main": film})


@pytest.mark.parametrize(("kind", "other"), [("sound", "video"), ("video", "audio")])
async def test_a_stream_that_ends_before_its_own_length_is_noticed(studio, clips, tmp_path, kind, other):
    """No decoder complains about it, and the other one goes on, which may be copied; in a package as well."""
    lengths = (2, 1) if kind == "sound" else (1, 2)
    honest = clips.make(f"short-{kind}.mkv", *pictures(lengths[0]), *sound(lengths[1]), *X264).read_bytes()
    assert 1 == honest.count(b"00:00:01.0")
    film = tmp_path / "stops.mkv"
    film.write_bytes(honest.replace(b"00:00:01.0", b"00:00:02.0"))
    for asked in (task("o.mkv", fields=((other, {"codec": "copy"}),)), PACKAGE):
        ended = await studio.run(asked, {"main": film})
        assert isinstance(ended, Failed), ended
        assert "INPUT_TRUNCATED" == ended.failure.reason
        assert f"the {kind} of input main does not last for 2.0" in ended.failure.message
    asked = PACKAGE if kind == "sound" else task()
    ended = await studio.succeed(asked, {"main": film}, damagePolicy="DAMAGE_POLICY_WARN")
    assert ["INPUT_TRUNCATED"] == [warning.reason for warning in ended.warnings]


async def test_what_is_told_of_a_transport_stream_that_was_made_is_about_its_packets(studio, clips):
    """Of sound they hold a third of a second."""
    film = clips.make("noise.mp4", *pictures(2), *NOISE, *X264)
    await studio.succeed(
        task("o.ts", fields=(("audio", {**AUDIO, "channelCount": 1, "bitrateBps": 64_000}),)), {"main": film}
    )


async def test_a_recording_may_begin_between_key_frames(studio, clips, tmp_path):
    """Its pictures begin late, at a rate of its own as well; their end is what is asked for."""
    whole = clips.make("broadcast.ts", *pictures(3), *sound(3), *X264, "-g", "25").read_bytes()
    film = tmp_path / "between.ts"
    film.write_bytes(whole[188 * (len(whole) // 188 // 5) :])
    await studio.succeed(task(fields=RATE), {"main": film})


async def test_pictures_at_any_distance_are_packaged(studio, clips):
    """They go on after what MP4 says; and one that is held at an even rate is shown for as long."""
    for name in ("held.mp4", "rare-silent.mp4"):
        await studio.succeed(PACKAGE, {"main": clips.make(name, *FILMS[name])})


async def test_a_gap_that_is_filled_takes_no_memory(studio, clips):
    """A thousand pictures are one that is shown a thousand times: 350 MB if each were made anew."""
    gap = ("-vf", "setpts='PTS+if(gt(N,12),40,0)/TB'", "-fps_mode", "vfr")
    film = clips.make("forty.mp4", *pictures(1), *gap, *X264)
    video = {**VIDEO, "frameRate": {"numerator": 25, "denominator": 1}, "widthPx": 640, "allowUpscale": True}
    ended = await studio.succeed(task(fields=(("video", video),)), {"main": film})
    assert ended.usage.peak_memory_bytes < 200_000_000
