"""The builders of specs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from telecine.v1 import media_pb2
from telecine_client import probe, thumbnails, transcode
from telecine_client.spec import job_spec

SECOND = timedelta(seconds=1)


def test_every_option_reaches_its_field() -> None:
    """The builder's spec is the one a person would write in JSON."""
    spec = transcode(
        media_pb2.Input(uri="https://a.example/in.mkv", headers={"x": "y"}),
        "file:///out",
        "a.mp4",
        video=media_pb2.Video(codec="h264"),
        start=SECOND,
        end=2 * SECOND,
        queue="fast",
        priority=0,
        requirements=["gpu/nvidia"],
        units=2,
        labels={"film": "x"},
        not_before=datetime(2026, 11, 22, 13, tzinfo=timezone(timedelta(hours=1))),
        max_attempts=1,
        initial_backoff=SECOND,
        max_backoff=2 * SECOND,
        queue_timeout=3 * SECOND,
        total_timeout=4 * SECOND,
        soft_run_timeout=5 * SECOND,
        hard_run_timeout=6 * SECOND,
        stall_timeout=7 * SECOND,
        cancel_grace=timedelta(),
        retention=timedelta(hours=1),
    )
    assert spec == job_spec(
        {
            "inputs": {"source": {"uri": "https://a.example/in.mkv", "headers": {"x": "y"}}},
            "output": {"uri": "file:///out"},
            "task": {
                "transcode": {
                    "input": "source", "path": "a.mp4", "video": {"codec": "h264"}, "trim": {"start": "1s", "end": "2s"},
                }
            },
            "queue": "fast",
            "priority": 0,
            "requirements": ["gpu/nvidia"],
            "units": 2,
            "labels": {"film": "x"},
            "not_before_time": "2026-11-22T12:00:00Z",
            "retry_policy": {"max_attempts": 1, "initial_backoff": "1s", "max_backoff": "2s"},
            "limits": {
                "queue_timeout": "3s", "total_timeout": "4s", "soft_run_timeout": "5s", "hard_run_timeout": "6s",
                "stall_timeout": "7s", "cancel_grace": "0s",
            },
            "retention_duration": "3600s",
        }
    )  # fmt: skip


def test_what_is_left_out_is_not_set() -> None:
    """The contract's defaults stay the scheduler's."""
    spec = probe("file:///in.mkv")
    assert {"inputs", "task"} == {descriptor.name for descriptor, _ in spec.ListFields()}


def test_a_time_without_zone_is_refused() -> None:
    """It could be any hour of a day."""
    with pytest.raises(ValueError, match="has no time zone"):
        probe("file:///in.mkv", not_before=datetime(2026, 11, 22, 13, tzinfo=UTC).replace(tzinfo=None))


def test_pictures_are_chosen_in_four_ways() -> None:
    """Each is its own field."""
    out = ("file:///in.mkv", "file:///out", "%03d.jpg")
    tasks = [
        thumbnails(*out, count=5, width_px=320).task.thumbnails,
        thumbnails(*out, interval=10 * SECOND).task.thumbnails,
        thumbnails(*out, offsets=[timedelta(), 90 * SECOND]).task.thumbnails,
        thumbnails(*out, best=3).task.thumbnails,
    ]
    assert ["count", "interval", "offsets", "best"] == [task.WhichOneof("selection") for task in tasks]
    assert (5, 320, 10, [0, 90], 3) == (
        tasks[0].count, tasks[0].width_px, tasks[1].interval.seconds, [at.seconds for at in tasks[2].offsets.offsets],
        tasks[3].best,
    )  # fmt: skip


@pytest.mark.parametrize("ways", [{}, {"count": 1, "best": 1}])
def test_pictures_are_chosen_in_one_way(ways: dict[str, int]) -> None:
    """None and two are the caller's error, said before anything is sent."""
    with pytest.raises(ValueError, match="exactly one of"):
        thumbnails("file:///in.mkv", "file:///out", "%d.jpg", **ways)  # type: ignore[arg-type]


def test_a_probe_says_what_it_looks_for() -> None:
    """And writes nothing."""
    spec = probe(
        "file:///in.mkv", decode=True, measure_loudness=True, detect_scenes=True, detect_black=True, detect_silence=True
    )
    assert spec.task.probe == media_pb2.ProbeTask(
        input="source", decode=True, measure_loudness=True, detect_scenes=True, detect_black=True, detect_silence=True
    )
    assert not spec.HasField("output")
