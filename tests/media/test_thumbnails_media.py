"""Stills on real FFmpeg: the right moments, the right size, the right number, verified one by one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from telecine_worker.failure import FailureKind
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.outcome import Failed
from telecine_worker.tasks import thumbnails

RATE = 10


def task(path: str = "t/%d.png", **fields: Any) -> dict[str, Any]:
    """A ThumbnailsTask from the JSON names of its fields."""
    return {"thumbnails": {"input": "main", "path": path, **fields}}


def at(*seconds: float) -> dict[str, Any]:
    """A selection of offsets."""
    return {"offsets": {"offsets": [f"{each}s" for each in seconds]}}


@pytest.fixture
def steps(clips) -> Path:
    """Fifty pictures, ten a second, each a little lighter than the one before; key frames every 13."""
    return clips.make(
        "steps.mp4",
        *("-f", "lavfi", "-i", f"color=black:s=64x48:r={RATE}:d=5,geq=lum='20+4*N':cb=128:cr=128"),
        *("-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv420p", "-g", "13", "-bf", "2"),
    )


def grey(tools: Any, path: Path, graph: str = "null") -> bytes:
    """The picture as bytes of luma."""
    argv = [
        str(tools.toolchain.ffmpeg),
        "-v",
        "error",
        "-i",
        str(path),
        "-vf",
        f"{graph},format=gray",
        "-f",
        "rawvideo",
        "-",
    ]
    return subprocess.run(argv, capture_output=True, check=True, timeout=30).stdout


def shown(tools: Any, ended: Any, output: Path) -> list[int]:
    """Which picture of `steps` each artifact is: what its grey came from."""
    found = []
    for artifact in ended.artifacts:
        pixels = grey(tools, output / artifact.path)
        found.append(round(((sum(pixels) / len(pixels)) * 219 / 255 + 16 - 20) / 4))
    return found


MOMENTS = [
    ({"interval": "0.75s"}, [0, 7, 15, 22, 30, 37, 45]),
    (at(4.99, 0, 0.05, 1.5, 1.5, 1.59), [49, 0, 0, 15, 15, 15]),
    ({"count": 1}, [25]),
    ({"count": 4}, [6, 18, 31, 43]),
    ({"interval": "5s"}, [0]),
]


@pytest.mark.parametrize(
    ("container", "selection", "pictures"),
    [("mp4", *each) for each in MOMENTS]
    + [(container, *each) for container in ("mkv", "ts", "y4m", "avi") for each in MOMENTS[:2]],
)
async def test_each_still_is_what_is_shown_at_its_moment(studio, clips, steps, tools, container, selection, pictures):
    """The middle of n equal parts, every interval from 0, the offsets in their order, in containers with an index and
    without.
    """
    coded = {"y4m": [], "avi": ["-c:v", "ffv1"]}.get(container, ["-c", "copy"])
    source = steps if container == "mp4" else clips.make(f"steps.{container}", "-i", str(steps), *coded)
    ended = await studio.succeed(task(**selection), {"main": source})
    assert [f"t/{number}.png" for number in range(1, len(pictures) + 1)] == [each.path for each in ended.artifacts]
    assert pictures == shown(tools, ended, studio.output)


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
async def test_pictures_of_different_lengths_are_shown_for_as_long_as_they_are(studio, clips, tools, container):
    """The n-th begins at n * n / 20 seconds; of an odd size."""
    source = clips.make(
        f"uneven.{container}",
        *(
            "-f",
            "lavfi",
            "-i",
            f"color=black:s=64x48:r={RATE}:d=1,geq=lum='20+4*N':cb=128:cr=128,format=yuv444p,scale=65:47,setsar=1,settb=1/1000,setpts=N*N*50",
        ),
        *("-fps_mode", "passthrough", "-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv444p", "-g", "4", "-bf", "2"),
    )
    for selection, pictures in (({"interval": "1s"}, [0, 4, 6, 7, 8]), (at(0.1, 3.1, 0.5, 1.3, 4), [1, 7, 3, 5, 8])):
        ended = await studio.succeed(task(**selection), {"main": source})
        assert pictures == shown(tools, ended, studio.output)[:5]
        assert (65, 47) == (ended.artifacts[0].media.video[0].width_px, ended.artifacts[0].media.video[0].height_px)


def minute(clips: Any, gop: int, container: str = "mp4") -> Path:
    """Eighty seconds, four pictures in each; the n-th second is of one grey. A key frame every *gop* pictures."""
    film = clips.make(
        f"minute-{gop}.mp4",
        *(
            "-f",
            "lavfi",
            "-i",
            "color=black:s=32x32:r=4:d=80,geq=lum='20+2*floor(N/4)':cb=128:cr=128",
            "-c:v",
            "libx264",
        ),
        *("-qp", "0", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", str(gop), "-sc_threshold", "0"),
    )
    if container == "mp4":
        return film
    copied: Path = clips.make(f"minute-{gop}.{container}", "-i", str(film), "-c", "copy")
    return copied


def seconds_of(tools: Any, ended: Any, output: Path) -> list[int]:
    """Which second of `minute` each artifact is of."""
    greys = [grey(tools, output / artifact.path) for artifact in ended.artifacts]
    return [round(((sum(pixels) / len(pixels)) * 219 / 255 + 16 - 20) / 2) for pixels in greys]


@pytest.mark.parametrize("container", ["ts", "flv", "mkv", "mp4"])
async def test_a_seek_that_lands_too_late_is_not_believed(studio, clips, tools, container):
    """Two key frames in eighty seconds: from wherever it is sought, the picture is the one of its moment."""
    film = minute(clips, 160, container)
    ended = await studio.succeed(task("a/%d.png", **at(35.1, 2.1)), {"main": film})
    assert [35, 2] == seconds_of(tools, ended, studio.output)
    ended = await studio.succeed(task("b/%d.png", **at(75.1, 45.1)), {"main": film})
    assert [75, 45] == seconds_of(tools, ended, studio.output)


@pytest.mark.parametrize("container", ["mkv", "ts"])
async def test_a_video_may_begin_after_the_sound(studio, clips, steps, tools, container):
    """Times count from the start of the input: for three seconds the first picture is yet to come."""
    late = clips.make(
        f"late-steps.{container}",
        *(
            "-f",
            "lavfi",
            "-i",
            "sine=d=9",
            "-itsoffset",
            "3",
            "-i",
            str(steps),
            "-map",
            "0",
            "-map",
            "1",
            "-c:v",
            "copy",
        ),
    )
    ended = await studio.succeed(task(**at(1, 3.56, 7.06)), {"main": late})
    assert [0, 5, 40] == shown(tools, ended, studio.output)


async def test_the_last_picture_is_shown_while_the_sound_goes_on(studio, clips, steps, tools):
    """Matroska says how long the film is, not how long its pictures are."""
    film = clips.make("long-sound.mkv", "-f", "lavfi", "-i", "sine=d=9", "-i", str(steps), "-c:v", "copy")
    ended = await studio.succeed(task("a/%d.png", count=3), {"main": film})
    assert [15, 45, 49] == shown(tools, ended, studio.output)
    ended = await studio.succeed(task("b/%d.png", **at(8.5)), {"main": film})
    assert [49] == shown(tools, ended, studio.output)


async def test_a_long_gap_takes_no_memory(studio, clips):
    """Of a picture that is shown for hours there are millions of thousandths; three pictures take less than 500 MB."""
    gap = clips.make(
        "hours.mkv",
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=1:d=2", "-vf", "setpts='if(eq(N,1),20000/TB,0)'"),
        *("-fps_mode", "passthrough", "-c:v", "libx264", "-pix_fmt", "yuv420p"),
    )
    ended = await studio.succeed(task(**at(1, 10000, 20000)), {"main": gap})
    assert ended.usage.peak_memory_bytes < 500_000_000


async def test_an_interval_needs_a_length(studio, clips, steps):
    """Of a live recording that of its packets; raw pictures have no times, and would have one picture: refused."""
    live = clips.make("endless.mkv", "-i", str(steps), "-c", "copy", "-f", "matroska", "-live", "1")
    assert 5 == len((await studio.succeed(task("%d.png", interval="1s"), {"main": live})).artifacts)
    film = clips.make("endless.h264", "-f", "lavfi", "-i", "testsrc2=s=160x96:r=10:d=3", "-pix_fmt", "yuv420p")
    ended = await studio.run(task(interval="1s"), {"main": film})
    assert isinstance(ended, Failed), ended
    assert (FailureKind.PERMANENT, "OPTION_INVALID") == (ended.failure.kind, ended.failure.reason)
    assert "use offsets" in ended.failure.message


@pytest.mark.parametrize("selection", [{"count": 9}, {"interval": "0.3s"}])
async def test_seeking_gives_the_same_pictures_as_one_pass(studio, steps, selection, monkeypatch):
    """Byte for byte."""
    await studio.succeed(task("pass/%d.png", **selection), {"main": steps})
    monkeypatch.setattr(thumbnails, "SEEK_FROM_SECONDS", 0)
    ended = await studio.succeed(task("seek/%d.png", **selection), {"main": steps})
    for artifact in ended.artifacts:
        name = artifact.path.removeprefix("seek/")
        assert (studio.output / "pass" / name).read_bytes() == (studio.output / artifact.path).read_bytes()
    encoding = [snapshot.fraction for snapshot in studio.snapshots if snapshot.phase is Phase.ENCODING]
    assert encoding == [fraction for fraction in encoding if fraction is not None]


@pytest.mark.parametrize(
    ("extension", "media_type", "codec"),
    [
        ("jpg", "image/jpeg", "mjpeg"),
        ("jpeg", "image/jpeg", "mjpeg"),
        ("png", "image/png", "png"),
        ("webp", "image/webp", "webp"),
    ],
)
async def test_formats_and_sizes(studio, clips, tools, extension, media_type, codec):
    """The aspect ratio is kept to the pixel, even or not; the names count from 1; each artifact says what it is."""
    ended = await studio.succeed(task(f"a/b-%03d.{extension}", count=3, widthPx=161), {"main": clips.film()})
    assert [f"a/b-00{number}.{extension}" for number in (1, 2, 3)] == [each.path for each in ended.artifacts]
    for artifact in ended.artifacts:
        video = artifact.media.video[0]
        assert (media_type, codec, 161, 91) == (artifact.media_type, video.codec, video.width_px, video.height_px)
        assert artifact.size_bytes == (studio.output / artifact.path).stat().st_size
        assert 161 * 91 == len(grey(tools, studio.output / artifact.path))
    assert ["a", *(f"a/b-00{number}.{extension}" for number in (1, 2, 3))] == studio.left()


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
@pytest.mark.parametrize(("matrix", "extent"), [("bt709", "tv"), ("smpte170m", "tv"), ("bt709", "pc")])
async def test_colours_are_those_of_the_video(studio, clips, tools, extension, matrix, extent):
    """Red stays red, whichever matrix and range the video has: what a viewer of the still sees is within 6 of 255."""
    film = clips.make(
        f"red-{matrix}-{extent}.mp4",
        *("-f", "lavfi", "-i", "color=0xC83214:s=64x48:r=10:d=1,format=rgb24"),
        *("-vf", f"scale=out_color_matrix={matrix}:out_range={extent},format=yuv420p", "-colorspace", matrix),
        *("-color_primaries", matrix, "-color_trc", matrix, "-color_range", extent, "-c:v", "libx264", "-qp", "0"),
    )
    await studio.succeed(task(f"%d.{extension}", count=1), {"main": film})
    argv = [str(tools.toolchain.ffmpeg), "-v", "error", "-i", str(studio.output / f"1.{extension}")]
    argv += ["-vf", "scale=in_color_matrix=bt601,format=rgb24", "-f", "rawvideo", "-"]
    red, green, blue = subprocess.run(argv, capture_output=True, check=True, timeout=30).stdout[:3]
    for found, wanted in ((red, 0xC8), (green, 0x32), (blue, 0x14)):
        assert abs(found - wanted) <= 6


async def test_rotation_and_pixel_shape_are_those_shown(studio, clips, tools):
    """A film that is stored lying and with wide pixels comes out standing and with square ones; it is never enlarged."""
    lying = clips.make("wide-pixels.mp4", "-i", str(clips.film(size="160x96", seconds=1)), "-vf", "setsar=3/2", "-an")
    source = ("-i", str(lying), "-c", "copy")
    is_old = (tools.toolchain.ffmpeg_version.number or (9, 0)) < (6, 0)
    turn = (*source, "-metadata:s:v", "rotate=90") if is_old else ("-display_rotation", "90", *source)
    turned = clips.make("turned-wide.mp4", *turn)
    wide = await studio.succeed(task("w-%d.png", count=1, widthPx=8192), {"main": lying})
    tall = await studio.succeed(task("t-%d.png", count=1), {"main": turned})
    half = await studio.succeed(task("h-%d.png", count=1, widthPx=48), {"main": turned})
    assert [(240, 96), (96, 240), (48, 120)] == [_size(wide), _size(tall), _size(half)]


def _size(ended: Any) -> tuple[int, int]:
    video = ended.artifacts[0].media.video[0]
    return video.width_px, video.height_px


async def test_the_best_ones_are_not_the_odd_ones_out(studio, clips, tools):
    """Of each third of a film that flashes white once, a picture is chosen that is not the flash."""
    film = clips.make(
        "flash.mp4",
        *("-f", "lavfi", "-i", "testsrc2=s=160x90:r=12:d=6"),
        *(
            "-vf",
            "drawbox=c=white:t=fill:enable='eq(mod(n,24),4)'",
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv420p",
            "-qp",
            "10",
        ),
    )
    ended = await studio.succeed(task("%d.png", best=3), {"main": film})
    assert 3 == len(ended.artifacts)
    for artifact in ended.artifacts:
        pixels = grey(tools, studio.output / artifact.path)
        assert sum(pixels) / len(pixels) < 200


async def test_the_best_of_a_long_film_come_from_key_frames(studio, clips, tools, monkeypatch):
    """With one every nine seconds it is one of those; where there are too few, it is any."""
    ended = await studio.succeed(task("a/%d.png", best=1), {"main": minute(clips, 36)})
    (second,) = seconds_of(tools, ended, studio.output)
    assert 0 == second % 9
    ended = await studio.succeed(task("b/%d.png", best=1), {"main": minute(clips, 999)})
    (second,) = seconds_of(tools, ended, studio.output)
    assert 0 < second < 80
    # Enough for one of two.
    monkeypatch.setattr(thumbnails, "KEY_FRAMES_FROM_SECONDS", 1)
    ended = await studio.succeed(task("c/%d.png", best=2), {"main": minute(clips, 160)})
    first, second = seconds_of(tools, ended, studio.output)
    assert 0 <= first < 40 <= second < 80


async def test_a_still_of_a_still(studio, clips):
    """A picture has one moment; more cannot be spread over it."""
    picture = clips.make("small-still.png", "-f", "lavfi", "-i", "testsrc=s=90x60", "-frames:v", "1", "-update", "1")
    for number, selection in enumerate(({"count": 1}, {"best": 1}, {"interval": "2s"}, at(0))):
        ended = await studio.succeed(task(f"{number}-%d.webp", **selection, widthPx=30), {"main": picture})
        assert [(30, 20)] == [_size(ended)]
    ended = await studio.run(task(count=2), {"main": picture})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "OPTION_INVALID") == (ended.failure.kind, ended.failure.reason)


@pytest.mark.parametrize(
    ("fields", "reason", "said"),
    [
        (at(1, 7), "TRIM_OUT_OF_RANGE", r"offsets\[1\] is 7 s.*5 s"),
        ({"interval": "0.001s"}, "OPTION_INVALID", "5000 pictures"),
        ({}, "OPTION_INVALID", "one of count"),
        ({"path": "no-number.png", "count": 1}, "OPTION_INVALID", "%d"),
        ({"path": "%d/%d.png", "count": 1}, "OPTION_INVALID", "%d"),
        ({"path": "%d.bmp", "count": 1}, "UNSUPPORTED_CONTAINER", "jpg"),
    ],
)
async def test_what_cannot_be_is_refused_with_words(studio, steps, fields, reason, said):
    """Permanent, naming the field and what would be right; nothing is left."""
    ended = await studio.run(task(**fields), {"main": steps})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, reason) == (ended.failure.kind, ended.failure.reason)
    assert re.search(said, ended.failure.message)
    assert [] == studio.left()


async def test_sound_alone_has_no_stills(studio, clips):
    """INPUT_MISSING_STREAM."""
    sound = clips.make("tone.wav", "-f", "lavfi", "-i", "sine=duration=1")
    ended = await studio.run(task(count=1), {"main": sound})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "INPUT_MISSING_STREAM") == (ended.failure.kind, ended.failure.reason)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
async def test_a_film_that_ends_early_never_passes(studio, steps, tmp_path, container):
    """Its header promises five seconds; the pictures after the cut are missing, and nothing is published."""
    fast = tmp_path / f"fast.{container}"
    studio_tools = [
        str(studio.toolchain.ffmpeg),
        "-v",
        "error",
        "-i",
        str(steps),
        "-c",
        "copy",
        *(("-movflags", "+faststart") if container == "mp4" else ()),
        str(fast),
    ]
    subprocess.run(studio_tools, check=True, timeout=30)
    early = fast.read_bytes()
    fast.write_bytes(early[: len(early) * 2 // 3])
    for selection in ({"count": 10}, at(0.1, 4.9)):
        ended = await studio.run(task(**selection), {"main": fast})
        assert isinstance(ended, Failed), ended
        assert [] == studio.left()


@pytest.mark.parametrize("selection", [at(0.48), {"best": 1}])
async def test_stills_of_interlaced_films_are_whole(studio, clips, tools, selection):
    """A bar that moves from field to field is no comb."""
    graph = (
        "color=black:s=160x96:r=50:d=1,drawbox=x=0:y=0:w=40:h=ih:color=white:t=fill,scroll=h=0.05,interlace=lowpass=0"
    )
    coded = ("-c:v", "libx264", "-qp", "4", "-x264-params", "tff=1", "-pix_fmt", "yuv420p")
    film = clips.make("bar.mp4", "-f", "lavfi", "-i", graph, *coded)
    await studio.succeed(task(**selection), {"main": film})

    def comb(pixels: bytes) -> int:
        """How much neighbouring lines differ in the first picture."""
        return sum(abs(one - other) for one, other in zip(pixels[: 160 * 95], pixels[160 : 160 * 96], strict=True))

    assert comb(grey(tools, studio.output / "t" / "1.png")) < comb(grey(tools, film)) / 2


async def test_of_a_film_that_ends_early_there_are_the_pictures_before_its_end(studio, clips, steps, tmp_path):
    """With WARN, under their own numbers; where there are none, the job fails."""
    whole = clips.make("thumb-fast.mp4", "-i", str(steps), "-c", "copy", "-movflags", "+faststart")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 4 // 5])
    offsets = {"offsets": {"offsets": ["4.8s", "0.4s", "4.7s", "0.9s"]}}
    ended = await studio.succeed(task("%d.png", **offsets), {"main": cut}, damagePolicy="DAMAGE_POLICY_WARN")
    assert ["2.png", "4.png"] == [each.path for each in ended.artifacts]
    assert "INPUT_TRUNCATED" in {each.reason for each in ended.warnings}
    nothing = {"offsets": {"offsets": ["4.8s"]}}
    failed = await studio.run(task("%d.png", **nothing), {"main": cut}, damagePolicy="DAMAGE_POLICY_WARN")
    assert isinstance(failed, Failed)
    assert "INPUT_TRUNCATED" == failed.failure.reason
