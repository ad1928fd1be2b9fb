"""Hardware encoders that FFmpeg lists and that do not work on this machine: what becomes of the attempt.

That they succeed where there is hardware cannot be shown here; their arguments are in tests/unit/worker.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from telecine_worker.failure import FailureKind
from telecine_worker.ffmpeg.hardware import FAMILIES
from telecine_worker.ffmpeg.warning import WarningReason
from telecine_worker.outcome import Failed

LISTED = ("h264_nvenc", "h264_qsv", "h264_vaapi")


def transcode(hardware: str, **video: Any) -> dict[str, Any]:
    """To H.264."""
    return {"transcode": {"input": "main", "path": "o.mp4", "video": {"codec": "h264", "hardware": hardware, **video}}}


def with_encoders(studio: Any, *names: str) -> None:
    """As if a trial had found that these work."""
    studio.toolchain = replace(studio.toolchain, encoders=studio.toolchain.encoders | {*names})


@pytest.fixture
def no_hardware() -> None:
    """Skip where there is some."""
    if any(family.nodes and family.is_possible() for family in FAMILIES):
        pytest.skip("this machine may have a hardware encoder")


@pytest.mark.usefixtures("no_hardware")
@pytest.mark.parametrize("names", [*((name,) for name in LISTED), LISTED])
async def test_software_takes_over_where_hardware_was_only_preferred(studio, clips, tools, names):
    """Every picture is there, and a warning for each encoder that failed says which, and why."""
    with_encoders(studio, *names)
    ended = await studio.succeed(transcode("HARDWARE_PREFERRED", preset="ultrafast"), {"main": clips.film()})
    assert "60" == tools.video(studio.output / "o.mp4")["nb_read_packets"]
    assert [WarningReason.HARDWARE_FAILED] * len(names) == [each.reason for each in ended.warnings]
    for name, warning in zip(sorted(names, key=LISTED.index), ended.warnings, strict=True):
        assert name in warning.message
    assert ["o.mp4"] == studio.left()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (251, "[vost#0:0/h264_vaapi @ 0x5] [error] Task finished with error code: -5 (Input/output error)"),
        (244, "[h264_vaapi @ 0x5] [error] Failed to upload: Cannot allocate memory"),
        (255, "[AVHWDeviceContext @ 0x5] [error] Failed to open the device: Operation not permitted"),
    ],
)
async def test_a_driver_that_fails_like_a_disk_is_hardware_all_the_same(studio, clips, tmp_path, code, said):
    """An FFmpeg that ends as a driver would make it end, and encodes by software: that takes over, with a warning."""
    stand_in = tmp_path / "ffmpeg"
    stand_in.write_text(
        f'#!/bin/sh\ncase "$*" in *h264_vaapi*) echo "{said}" >&2; exit {code};; esac\n'
        f'exec {studio.toolchain.ffmpeg} "$@"\n'
    )
    stand_in.chmod(0o755)
    confinement = studio.toolchain.confinement
    confinement = replace(confinement, readable=(*confinement.readable, str(stand_in)))
    studio.toolchain = replace(studio.toolchain, ffmpeg=stand_in, confinement=confinement)
    with_encoders(studio, "h264_vaapi")
    ended = await studio.succeed(transcode("HARDWARE_PREFERRED", preset="ultrafast"), {"main": clips.film()})
    assert [WarningReason.HARDWARE_FAILED] == [each.reason for each in ended.warnings]
    assert said.rpartition("[error] ")[2] in ended.warnings[0].message


@pytest.mark.usefixtures("no_hardware")
@pytest.mark.parametrize("name", LISTED)
async def test_required_hardware_that_fails_sends_the_job_elsewhere(studio, clips, name):
    """Retryable, in FFmpeg's words; nothing is made by software."""
    with_encoders(studio, name)
    ended = await studio.run(transcode("HARDWARE_REQUIRED"), {"main": clips.film()})
    assert isinstance(ended, Failed)
    assert (FailureKind.RETRYABLE, "HARDWARE_FAILED") == (ended.failure.kind, ended.failure.reason)
    assert name in ended.failure.message
    assert ended.failure.log_tail
    assert [] == studio.left()


async def test_where_no_hardware_works_nothing_is_tried(studio, clips):
    """Preferred: software without a warning. Required: retryable, before anything is run."""
    studio.toolchain = replace(studio.toolchain, encoders=studio.toolchain.encoders - {*LISTED})
    task = transcode("HARDWARE_PREFERRED", preset="ultrafast")
    assert () == (await studio.succeed(task, {"main": clips.film()})).warnings
    ended = await studio.run(transcode("HARDWARE_REQUIRED"), {"main": clips.film()})
    assert isinstance(ended, Failed)
    assert (FailureKind.RETRYABLE, "HARDWARE_FAILED") == (ended.failure.kind, ended.failure.reason)


async def test_what_is_wrong_with_the_input_is_no_failure_of_hardware(studio, clips, tmp_path):
    """A film without pictures: hardware is not blamed, and software not tried in vain."""
    with_encoders(studio, *LISTED)
    sound = clips.make("sound-only.wav", "-f", "lavfi", "-i", "sine=duration=1")
    ended = await studio.run(transcode("HARDWARE_REQUIRED"), {"main": sound})
    assert isinstance(ended, Failed)
    assert "INPUT_MISSING_STREAM" == ended.failure.reason
