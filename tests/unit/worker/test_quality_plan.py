"""QualityTask to arguments: the copy is brought to the original, never the other way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest

from support.argv_rules import check_plan
from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.tasks import quality
from telecine_worker.tasks.plan import Plan


def plan(reference: MediaInfo, distorted: MediaInfo, *metrics: str) -> Plan:
    """For inputs r and d."""
    task = media_pb2.QualityTask(reference="r", distorted="d", metrics=metrics)
    made = quality.plan(task, {"r": reference, "d": distorted}, frozenset())
    check_plan(made, demuxers=("concat",))
    return made


@pytest.fixture
def copy(film) -> MediaInfo:
    """Half as large, half as long, at another rate."""
    video = replace(film.video[0], width_px=640, height_px=360, coded_width_px=640, coded_height_px=360)
    return replace(film, duration=timedelta(seconds=5), video=(replace(video, frame_rate=Fraction(25), index=0),))


def test_golden_arguments(film, copy, golden):
    """All metrics in one run."""
    made = plan(film, copy, "ssim", "psnr", "vmaf")
    golden("quality", made.steps[0])
    assert {"libvmaf": "metrics vmaf"} == made.filters
    assert timedelta(seconds=5) == made.steps[0].duration


def test_what_both_say_they_have_has_to_be_compared(film, copy):
    """As many pictures as the shorter one has, half a second aside; nothing, where one of them does not say."""
    short = replace(copy, video=(replace(copy.video[0], duration=timedelta(seconds=5)),))
    assert [135] == [step.least_pictures for step in plan(film, short, "ssim").steps]
    unsure = replace(copy, video=(replace(copy.video[0], duration=None),))
    assert [0] == [step.least_pictures for step in plan(film, unsure, "ssim").steps]
    assert Fraction(30) == plan(film, copy, "ssim").wanted.compared_rate


def test_the_original_says_size_rate_and_depth(film, copy):
    """As it is stored and turned, with as many bits."""
    turned = replace(film.video[0], rotation_degrees=90, width_px=720, height_px=1280, pixel_format="yuv422p12le")
    graph = str(plan(replace(film, video=(turned,)), copy, "ssim").steps[0].argv)
    assert 2 == graph.count("fps=fps=30/1,scale=720:1280:flags=bicubic:out_range=tv,format=yuv422p10le")
    graph = str(plan(copy, film, "ssim").steps[0].argv)
    assert 2 == graph.count("fps=fps=25/1,scale=640:360:flags=bicubic:out_range=tv,format=yuv420p")


@pytest.mark.parametrize("metrics", [(), ("ssim", "ssim"), ("mse",)])
def test_other_metrics_are_refused(film, metrics):
    """With those there are."""
    with pytest.raises(AttemptFailed, match="ssim, psnr, vmaf"):
        plan(film, film, *metrics)


def test_both_have_to_be_named():
    """And may be the same."""
    task = media_pb2.QualityTask(reference="r", distorted="d")
    assert {"r", "d"} == quality.input_names(task)
