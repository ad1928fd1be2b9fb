"""AudioTask to arguments: a transcode of the sound alone, and what is drawn of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import json_format

from support.argv_rules import check_plan
from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.tasks import audio, transcode
from telecine_worker.tasks.plan import Plan


@pytest.fixture
def plan(encoders):
    """Plans an AudioTask of an input that is to be m4a."""

    def make(info: MediaInfo, **fields: Any) -> Plan:
        data = {"input": "main", "path": "a.m4a", "audio": {"codec": "aac"}, **fields}
        made = audio.plan(json_format.ParseDict(data, media_pb2.AudioTask()), {"main": info}, encoders)
        check_plan(made, demuxers=("concat",))
        return made

    return make


def test_the_sound_is_made_as_in_a_transcode(plan, film, encoders):
    """Step by step and file by file, with trim and loudness."""
    fields: dict[str, Any] = {
        "audio": {"codec": "aac", "loudness": {"integratedLufs": -20}}, "trim": {"start": "1s", "end": "2s"},
    }  # fmt: skip
    data = {"input": "main", "path": "a.m4a", **fields}
    same = transcode.plan(json_format.ParseDict(data, media_pb2.TranscodeTask()), {"main": film}, encoders)
    assert same == plan(film, **fields)


def test_golden_arguments(plan, film, golden):
    """The waveform is drawn from the file that was made."""
    made = plan(film, waveformPath="w.png", waveformWidthPx=640)
    golden("waveform", made.steps[-1])
    assert ["a.m4a", "w.png"] == [each.path for each in made.artifacts]


def test_long_sounds_are_thinned(plan, film):
    """So that what is drawn stays below twenty million samples; a rate is never below 500 Hz."""
    for length, rate in ((timedelta(hours=2), 2777), (timedelta(hours=40), 500)):
        sound = replace(film.audio[0], duration=length)
        long = replace(film, duration=length, audio=(sound,), video=())
        assert f"aeval=abs(val(0)):c=same,aresample={rate}," in str(plan(long, waveformPath="w.png").steps[-1].argv)


def test_a_size_without_a_picture_is_refused(plan, film):
    """And a picture that is too large."""
    with pytest.raises(AttemptFailed, match="waveform_height_px is the size of a picture that waveform_path"):
        plan(film, waveformHeightPx=100)
    with pytest.raises(AttemptFailed, match="at most 35000000 pixels"):
        plan(film, waveformPath="w.png", waveformWidthPx=8192, waveformHeightPx=8192)
