"""Every preset is a job that this worker can plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from telecine.v1 import media_pb2
from telecine_client import presets
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.tasks import kinds
from telecine_worker.tasks.plan import InputPlace


@pytest.fixture(params=["SDR", "HDR"])
def source(request: pytest.FixtureRequest, film: MediaInfo) -> MediaInfo:
    """A film with sound, as most are and as telephones make them."""
    if request.param == "SDR":
        return film
    hdr = replace(
        film.video[0], codec="hevc", pixel_format="yuv420p10le", color_transfer="arib-std-b67", color_primaries="bt2020",
        color_space="bt2020nc",
    )  # fmt: skip
    return replace(film, video=(hdr,))


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_is_planned(name: str, source: MediaInfo, encoders: frozenset[str]) -> None:
    """Steps that read the film, and artifacts where the kind writes any."""
    inputs = dict.fromkeys(presets.input_names(name), "file:///film.mp4")
    spec: media_pb2.JobSpec = presets.load(name, inputs=inputs)
    kinds.check_inputs(spec)
    plan = kinds.plan(spec.task, dict.fromkeys(inputs, source), encoders)
    read = {argument.name for step in plan.steps for argument in step.argv if isinstance(argument, InputPlace)}
    assert inputs.keys() == read
    assert (kinds.kind_of(spec.task) in kinds.FILELESS) is not bool(plan.artifacts)


@pytest.mark.parametrize("name", [name for name in presets.names() if name.startswith("web-")])
def test_what_is_for_the_web_is_sdr(name: str, source: MediaInfo, encoders: frozenset[str]) -> None:
    """Pictures of eight bits, whatever the film has; and the preset says so."""
    assert "HDR becomes SDR" in presets.describe(name)
    spec = presets.load(name, inputs="file:///film.mp4")
    [artifact] = kinds.plan(spec.task, {"source": source}, encoders).artifacts
    assert artifact.video is not None
    assert "yuv420p" == artifact.video.pixel_format
