"""Whatever is asked of whatever file: a plan whose command lines keep the rules, or a refusal that says why."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from support.any_media import films, media
from support.argv_rules import check_plan
from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg.options import AUDIO_ENCODERS, VIDEO_ENCODERS
from telecine_worker.tasks import kinds

ENCODERS = frozenset({*VIDEO_ENCODERS, *AUDIO_ENCODERS, "libwebp_anim"})

_INPUTS = st.one_of(films(), films(), films(), media())
_SECONDS = st.sampled_from(["0.000001s", "0.04s", "0.5s", "1s", "10s", "59.999s", "3600s", "200000s"])
_SMALL = st.integers(0, 40)
_WIDTHS = st.sampled_from([0, 1, 2, 3, 64, 161, 640, 1920, 8192])
_RATE = st.sampled_from([(25, 1), (30000, 1001), (1, 7), (240, 1), (1000, 1)]).map(
    lambda rate: {"numerator": rate[0], "denominator": rate[1]}
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the fields, or none."""
    return st.fixed_dictionaries({}, optional=fields)


_TRIM = some(start=_SECONDS, end=_SECONDS)
_VIDEO = st.builds(
    lambda codec, rest: {"codec": codec, **rest},
    st.sampled_from(["h264", "h265", "vp9", "av1", "copy"]),
    some(
        widthPx=_WIDTHS, heightPx=_WIDTHS, allowUpscale=st.booleans(), frameRate=_RATE, crf=st.integers(0, 63),
        gopDuration=_SECONDS, toneMapToSdr=st.booleans(), preset=st.sampled_from(["fast", "4", "nothing"]),
    ),
)  # fmt: skip
_AUDIO = st.builds(
    lambda codec, rest: {"codec": codec, **rest},
    st.sampled_from(["aac", "opus", "mp3", "flac", "ac3", "pcm_s16le", "copy"]),
    some(
        bitrateBps=st.sampled_from([1, 64000, 2000000]), sampleRateHz=st.sampled_from([8000, 44100, 192000]),
        channelCount=st.integers(0, 8), loudness=some(integratedLufs=st.floats(-70, -5)),
    ),
)  # fmt: skip
_PATHS = st.sampled_from(["a.mp4", "a/b.mkv", "a.webm", "a.ts", "a.m4a", "a.mp3", "a.opus", "a.flac", "a.wav", "a.x"])
_STILLS = st.sampled_from(["%d.jpg", "a/%03d.png", "x-%d.webp", "one.jpg", "%d/%d.png", "%d.bmp"])
_CLIPS = st.lists(
    st.builds(lambda name, rest: {"input": name, **rest}, st.sampled_from("ab"), some(trim=_TRIM)), max_size=20
)

TASKS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "sprites": st.builds(
        lambda path, index, rest: {"input": "a", "path": path, "indexPath": index, **rest},
        _STILLS,
        st.sampled_from(["i.vtt", "a/b c/i.VTT", "i.txt"]),
        some(tileWidthPx=_WIDTHS, columns=_SMALL, rows=_SMALL, interval=_SECONDS),
    ),
    "audio": st.builds(
        lambda path, audio, rest: {"input": "a", "path": path, "audio": audio, **rest},
        _PATHS,
        _AUDIO,
        some(trim=_TRIM, waveformPath=st.just("w.png"), waveformWidthPx=_WIDTHS, waveformHeightPx=_WIDTHS),
    ),
    "concat": st.builds(
        lambda path, listed, rest: {"path": path, "clips": listed, **rest}, _PATHS, _CLIPS, some(video=_VIDEO, audio=_AUDIO)
    ),
    "preview": st.builds(
        lambda path, rest: {"input": "a", "path": path, **rest},
        st.sampled_from(["a.gif", "a.webp", "b/a.MP4", "a.avi"]),
        some(duration=_SECONDS, clipCount=st.integers(0, 70), widthPx=_WIDTHS, frameRate=_RATE),
    ),
    "quality": st.builds(
        lambda metrics: {"reference": "a", "distorted": "b", "metrics": metrics},
        st.lists(st.sampled_from(["ssim", "psnr", "vmaf", "ssim", "psnr", "vmaf", "other"]), max_size=4),
    ),
    "probe": some(
        decode=st.booleans(), measureLoudness=st.booleans(), detectScenes=st.booleans(), detectBlack=st.booleans(),
        detectSilence=st.booleans(),
    ).map(lambda fields: {"input": "a", **fields}),
    "thumbnails": st.builds(
        lambda path, chosen, width: {"input": "a", "path": path, **chosen, "widthPx": width},
        _STILLS,
        st.one_of(
            st.integers(0, 1000).map(lambda count: {"count": count}),
            st.integers(0, 100).map(lambda best: {"best": best}),
            _SECONDS.map(lambda interval: {"interval": interval}),
            st.lists(_SECONDS, max_size=5).map(lambda times: {"offsets": {"offsets": times}}),
        ),
        _WIDTHS,
    ),
    "ffmpeg": st.builds(
        lambda args: {"args": ["-i", "a", *args, "o.mp4"], "outputs": ["o.mp4"]},
        st.lists(
            st.sampled_from(
                [
                    *("-an", "-vn", "-shortest", "-c:v", "copy", "libx264", "-vf", "scale=64:-2", "fps=5", "-t", "1", "-ss"),
                    *("-map", "0:v", "0", "-i", "b", "-f", "null", "-y", "/etc/passwd", "../x", "http://h/", "-filter_complex"),
                ]
            ),
            max_size=8,
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", TASKS)
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_a_plan_keeps_the_rules_or_is_refused(kind, data):
    """Every input behind its whitelists, nothing read or written beside, the output last; a refusal is for good, in words."""
    task = json_format.ParseDict({kind: data.draw(TASKS[kind])}, media_pb2.Task())
    inputs = {name: data.draw(_INPUTS) for name in "ab"}
    try:
        # Looked at before anything is fetched: see kinds.check_inputs.
        if not kinds.input_names(task) <= inputs.keys():
            return
        plan = kinds.plan(task, inputs, ENCODERS)
    except AttemptFailed as error:
        event("refused")
        assert FailureKind.PERMANENT == error.failure.kind
        assert len(error.failure.message) > 15
        return
    event("planned")
    check_plan(plan, demuxers=("concat",))
    for step in plan.steps:
        assert step.weight > 0
