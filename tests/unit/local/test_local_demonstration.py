"""The demo's parts: what it measures, and what it accepts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from telecine_local.demonstration import DemoFailed, Measured, check
from telecine_local.places import default_data_directory
from telecine_local.stack import program
from telecine_local.toolchain import Media, Toolchain, ToolFailed, output_of
from telecine_local.valkey import ServerMissing, find_server, server_argv

SOURCE = Measured(
    frame_count=300,
    media=Media(
        duration_seconds=10.0,
        size_bytes=9_000_000,
        video_codec="h264",
        width_px=1280,
        height_px=720,
        audio_codec="opus",
    ),
)
RESULT = Measured(
    frame_count=300,
    media=Media(
        duration_seconds=10.02, size_bytes=900_000, video_codec="h264", width_px=854, height_px=480, audio_codec="aac"
    ),
)


def test_a_good_result_passes() -> None:
    """With sound, and without where the source has none."""
    check(SOURCE, RESULT)
    silent = [
        dataclasses.replace(one, media=dataclasses.replace(one.media, audio_codec="")) for one in (SOURCE, RESULT)
    ]
    check(*silent)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"duration_seconds": 9.7}, r"9\.70 s instead of 10\.00 s"),
        ({"video_codec": "hevc"}, "codecs hevc, aac instead of h264, aac"),
        ({"audio_codec": ""}, "instead of h264, aac"),
        ({"height_px": 720}, "854x720"),
        ({"width_px": 853}, "853x480"),
    ],
)
def test_a_wrong_result_says_in_what(change: dict[str, object], said: str) -> None:
    """Each fact on its own."""
    wrong = dataclasses.replace(RESULT, media=dataclasses.replace(RESULT.media, **change))
    with pytest.raises(DemoFailed, match=said):
        check(SOURCE, wrong)


def test_a_missing_frame_is_seen() -> None:
    """Every frame of the source has to be there."""
    with pytest.raises(DemoFailed, match="299 frames instead of 300"):
        check(SOURCE, dataclasses.replace(RESULT, frame_count=299))


async def test_frames_are_counted_by_decoding(tmp_path: Path) -> None:
    """A real file has as many as were made; a cut one is an error, not a smaller number."""
    tools = await Toolchain.find(program("telecine-worker"))
    film = tmp_path / "film.mp4"
    await output_of(
        [
            *[tools.ffmpeg, "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=1"],
            *["-pix_fmt", "yuv420p", "-movflags", "+faststart", str(film)],
        ]
    )
    assert await tools.count_frames(film) == 25
    media = await tools.probe(film)
    assert (media.width_px, media.height_px, media.audio_codec, media.duration_seconds) == (160, 90, "", 1.0)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    with pytest.raises(ToolFailed):
        await tools.count_frames(cut)
    with pytest.raises(ToolFailed, match="ffprobe"):
        await tools.probe(tmp_path / "missing.mp4")


def test_the_data_directory_follows_xdg() -> None:
    """XDG_STATE_HOME where it is set, else below the home."""
    assert Path("/state/telecine/dev") == default_data_directory({"XDG_STATE_HOME": "/state"})
    assert Path.home() / ".local/state/telecine/dev" == default_data_directory({})


def test_a_chosen_database_has_to_be_there(tmp_path: Path) -> None:
    """It is named, with what would be right."""
    with pytest.raises(ServerMissing, match="/nowhere/redis-server"):
        find_server(Path("/nowhere/redis-server"))
    chosen = tmp_path / "redis-server"
    chosen.touch()
    assert str(chosen) == find_server(chosen)


def test_a_socket_path_that_is_too_long_is_refused() -> None:
    """The kernel would cut it or fail far away."""
    with pytest.raises(ValueError, match="107 bytes"):
        server_argv("valkey-server", socket=Path("/" + "d" * 107), data=Path("/d"), log=Path("/l"))
