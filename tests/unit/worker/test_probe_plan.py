"""ProbeTask to arguments: nothing to run, or one run for everything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import json_format

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.tasks import probing
from telecine_worker.tasks.plan import Plan

TASKS: dict[str, dict[str, Any]] = {
    "probe_all": {
        "decode": True,
        "measureLoudness": True,
        "detectScenes": True,
        "detectBlack": True,
        "detectSilence": True,
    },
    "probe_decode": {"decode": True},
    "probe_loudness": {"measureLoudness": True},
    "probe_scenes": {"detectScenes": True},
}


def plan(info: MediaInfo, **fields: Any) -> Plan:
    """From the JSON names of the fields."""
    task = json_format.ParseDict({"input": "main", **fields}, media_pb2.ProbeTask())
    return probing.plan(task, {"main": info}, frozenset())


@pytest.mark.parametrize("name", TASKS)
def test_golden_arguments(name, film, golden):
    """One decode, of no more streams than are looked at, through no more filters than that takes."""
    (step,) = plan(film, **TASKS[name]).steps
    golden(name, step)


def test_nothing_to_look_for_is_nothing_to_run(film):
    """What the file says of itself is enough."""
    assert Plan(steps=()) == plan(film)


def test_damage_is_a_result_where_it_is_asked_for(film):
    """And a failure where only something else is measured, which it makes impossible."""
    assert plan(film, decode=True).steps[0].measures_damage
    assert not plan(film, detectBlack=True).steps[0].measures_damage


def test_progress_has_what_to_count_to(film):
    """Phase ANALYZING, over the duration and the pictures of the input."""
    step = plan(film, detectScenes=True).steps[0]
    assert (Phase.ANALYZING, film.duration, 300) == (step.phase, step.duration, step.frame_count)


@pytest.mark.parametrize(
    ("field", "stream"),
    [
        ("measureLoudness", "audio"),
        ("detectSilence", "audio"),
        ("detectScenes", "video"),
        ("detectBlack", "video"),
    ],
)
def test_a_stream_that_is_missing_is_named(film, field, stream):
    """With the option that wants it."""
    with pytest.raises(AttemptFailed, match="INPUT_MISSING_STREAM"):
        plan(replace(film, **{stream: ()}), **{field: True})
    with pytest.raises(AttemptFailed, match="decode is asked for"):
        plan(replace(film, video=(), audio=()), decode=True)
