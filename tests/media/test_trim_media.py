"""A part of a film: exact to the picture and in sync, whatever container it is in and wherever its streams begin."""

from __future__ import annotations

import pytest

from support.numbered_film import lavfi, seen
from telecine_worker.outcome import Failed

# Later than the lead with which reading begins where there is an index.
START, END = 11.4, 12.4
TRIM = {"start": f"{START}s", "end": f"{END}s"}
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "50")
MPEG2 = ("-c:v", "mpeg2video", "-b:v", "2M", "-bf", "2", "-g", "30", "-c:a", "mp2")
ENCODED = {"video": {"codec": "h264", "preset": "ultrafast", "crf": 10}, "audio": {"codec": "flac"}}
COPY = {"codec": "copy"}
SYNC_SECONDS = 0.025
# Encoders of pictures count in them.
HALF_A_PICTURE = 0.0215

FILMS = {
    "late-pictures.mp4": (*X264, "-c:a", "aac", "-filter:v", "setpts=PTS+0.7/TB"),
    "b-frames.mkv": (*X264, "-c:a", "aac"),
    "open-gop.mkv": ("-c:v", "libx264", "-preset", "veryfast", "-x264-params", "open-gop=1:keyint=40", "-c:a", "libopus"),
    "fragments.mp4": (*X264, "-c:a", "aac", "-movflags", "+frag_keyframe+delay_moov"),
    "h264.ts": (*X264, "-c:a", "aac", "-filter:v", "setpts=PTS+0.3/TB"),
    "mpeg2.ts": MPEG2,
    "mpeg2.mpg": MPEG2,
    "ac3.mpg": (*MPEG2[:-1], "ac3"),
    "late-sound.ogg": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis", "-af", "asetpts=PTS+1.3/TB"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime", "-g", "60", "-c:a", "libopus"),
}  # fmt: skip


# Pictures 0 to 19, and again from the 60th on, which is shown at 2.4 s.
HOLDS = ("-vf", "select='lt(n,20)+gte(n,60)'", "-fps_mode", "vfr", *X264[:-4], "-bf", "0", "-c:a", "aac")


@pytest.fixture
def film(clips):
    """One of FILMS."""
    return lambda name: clips.make(name, *lavfi(13), *FILMS[name])


def off(expected, actual):
    """How far the clicks are from where they should be, at most; as many as there should be."""
    assert len(expected) == len(actual) == 1, (expected, actual)
    return abs(expected[0] - actual[0])


@pytest.mark.parametrize("name", [name for name in FILMS if name not in ("ac3.mpg", "late-sound.ogg")])
async def test_a_part_is_exact_in_every_container(studio, tools, film, name):
    """From the first picture at or after the start to the last before the end, each at its time; the click is where it was."""
    source = film(name)
    ended = await studio.succeed(
        {"transcode": {"input": "main", "path": "o.mkv", "trim": TRIM, **ENCODED}}, {"main": source}
    )
    assert () == ended.warnings
    wanted, found = seen(tools.toolchain, source).between(START, END), seen(tools.toolchain, studio.output / "o.mkv")
    assert wanted.numbers == found.numbers
    assert [] == [
        each for each in zip(wanted.times, found.times, strict=True) if abs(each[0] - each[1]) > HALF_A_PICTURE
    ]
    assert off(wanted.clicks, found.clicks) <= SYNC_SECONDS


async def test_pictures_alone_and_sound_alone_count_from_the_start_of_the_file(studio, tools, film):
    """Of a transport stream FFmpeg counts from the first packet of what is used; a part is one of the file."""
    source = film("h264.ts")
    wanted = seen(tools.toolchain, source).between(START, END)
    pictures = {
        "input": "main",
        "path": "v.mkv",
        "trim": TRIM,
        "video": {**ENCODED["video"], "bitrateBps": 200000, "twoPass": True},
    }
    del pictures["video"]["crf"]
    await studio.succeed({"transcode": pictures}, {"main": source})
    sound = {"input": "main", "path": "a.wav", "trim": TRIM, "audio": {"codec": "pcm_s16le"}}
    await studio.succeed({"audio": sound}, {"main": source})
    assert wanted.numbers == seen(tools.toolchain, studio.output / "v.mkv").numbers
    assert off(wanted.clicks, seen(tools.toolchain, studio.output / "a.wav").clicks) <= SYNC_SECONDS


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(("start", "end", "numbers", "times"), [
    (1.5, 2.48, (19, 60, 61), (0, 0.9, 0.94)), (1, 1.8, (19,), (0,)),
])  # fmt: skip
async def test_what_stands_when_a_part_begins_is_its_first_picture(
    studio, tools, clips, suffix, start, end, numbers, times
):
    """Though it began before; nothing else tells what is shown until the next one."""
    source = clips.make(f"holds.{suffix}", *lavfi(4), *HOLDS)
    trim = {"start": f"{start}s", "end": f"{end}s"}
    await studio.succeed({"transcode": {"input": "main", "path": "o.mkv", "trim": trim, **ENCODED}}, {"main": source})
    found = seen(tools.toolchain, studio.output / "o.mkv")
    assert numbers == found.numbers
    assert [] == [each for each in zip(times, found.times, strict=True) if abs(each[0] - each[1]) > HALF_A_PICTURE]
    assert off((2 - start,) if end > 2 else (0,), found.clicks) <= SYNC_SECONDS


async def test_a_new_rate_ends_with_the_part(studio, tools, clips):
    """What stands at the end is not repeated for as long as it stands in the source."""
    source = clips.make("holds.mp4", *lavfi(4), *HOLDS)
    task = {"input": "main", "path": "o.mkv", "trim": {"start": "1s", "end": "1.8s"}, **ENCODED}
    task["video"] = {**ENCODED["video"], "frameRate": {"numerator": 25, "denominator": 1}}
    await studio.succeed({"transcode": task}, {"main": source})
    assert 20 * (19,) == seen(tools.toolchain, studio.output / "o.mkv").numbers


async def test_sound_alone_of_ogg_counts_from_the_start_of_the_file(studio, tools, film):
    """FFmpeg 9 counts from the first packet of it."""
    sound = {"input": "main", "path": "a.wav", "trim": TRIM, "audio": {"codec": "pcm_s16le"}}
    await studio.succeed({"audio": sound}, {"main": film("late-sound.ogg")})
    assert off((12.3 - START,), seen(tools.toolchain, studio.output / "a.wav").clicks) <= SYNC_SECONDS


async def test_copied_pictures_need_a_key_frame(studio, clips):
    """Where nothing says where the one before is, there is one in the part, or a refusal."""
    source = clips.make("one-key-frame.ts", *lavfi(2), *X264[:-2], "-g", "999", "-sc_threshold", "0", "-c:a", "aac")
    task = {"input": "main", "path": "o.mkv", "trim": {"start": "1s"}, "video": COPY, "audio": COPY}
    ended = await studio.run({"transcode": task}, {"main": source})
    assert isinstance(ended, Failed)
    assert "OUTPUT_EMPTY" == ended.failure.reason


@pytest.mark.parametrize(
    ("name", "copied"),
    [("h264.ts", "audio"), ("ac3.mpg", "audio"), ("late-pictures.mp4", "audio"), ("b-frames.mkv", "video")],
)
async def test_what_is_copied_stays_in_sync_with_what_is_encoded(studio, tools, film, name, copied):
    """Copied pictures begin at a key frame, copied sound with a whole packet; everything that is encoded is exact."""
    source = film(name)
    task = {"input": "main", "path": "o.mkv", "trim": TRIM, **ENCODED, copied: {"codec": "copy"}}
    await studio.succeed({"transcode": task}, {"main": source})
    wanted, found = seen(tools.toolchain, source).between(START, END), seen(tools.toolchain, studio.output / "o.mkv")
    place = found.numbers.index(wanted.numbers[0])
    assert wanted.numbers == found.numbers[place:] or copied == "video"
    apart = found.clicks[-1] - found.times[place] - (wanted.clicks[0] - wanted.times[0])
    assert abs(apart) <= SYNC_SECONDS
