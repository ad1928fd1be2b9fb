"""Presets: what they are, how they get their files, and that everybody takes them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from telecine.v1 import media_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_client import presets
from telecine_client.cli.exits import UsageError
from telecine_client.cli.preset_job import preset_job
from telecine_scheduler.rpc.task_rules import FILELESS
from telecine_scheduler.rpc.validation import Validation


def complete(name: str) -> media_pb2.JobSpec:
    """The preset with files for all its inputs, and an output where it writes any."""
    inputs = {key: f"file:///media/{key}.mp4" for key in presets.input_names(name)}
    spec = presets.load(name, inputs=inputs)
    if spec.task.WhichOneof("kind") not in FILELESS:
        spec.output.uri = "file:///out"
    return spec


@pytest.mark.parametrize("name", presets.names())
def test_the_scheduler_takes_every_preset(name: str) -> None:
    """Nothing breaks a rule; the first line says in a sentence what it is for."""
    spec = complete(name)
    violations = Validation().submission_violations(pb.SubmitJobRequest(spec=spec))
    assert [] == violations
    assert presets.text(name).startswith("# ")
    assert presets.describe(name).endswith((".", "nothing."))


def test_a_preset_is_completed() -> None:
    """One input needs no name; options are those of every spec; the file in the package stays what it is."""
    source = media_pb2.Input(uri="https://host/film.mkv", sha256="0" * 64)
    spec = presets.load("web-720p", inputs=source, output="s3://bucket/out", priority=70, labels={"show": "news"})
    assert (source, "s3://bucket/out", 70) == (spec.inputs["source"], spec.output.uri, spec.priority)
    assert ("h264", 720, "news") == (
        spec.task.transcode.video.codec,
        spec.task.transcode.video.height_px,
        spec.labels["show"],
    )
    assert "" == presets.load("web-720p", inputs="file:///a").output.uri


def test_inputs_are_those_of_the_preset() -> None:
    """Fewer, more and others are told apart from what there is; so is a preset that there is not."""
    assert ("distorted", "reference") == presets.input_names("compare")
    for inputs in ("file:///a", {"reference": "file:///a"}, {"a": "file:///a", "b": "file:///b"}, {}):
        with pytest.raises(ValueError, match="has the inputs distorted, reference; given are"):
            presets.load("compare", inputs=inputs)
    for use in (presets.describe, presets.text, presets.input_names):
        with pytest.raises(LookupError, match=r"there is no preset 'web'; there are .*web-1080p"):
            use("web")


def test_the_command_line_names_inputs_where_there_are_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where there is one, a = may be part of its path."""
    monkeypatch.chdir(tmp_path)
    for given in ("a=b.mp4", "source=a=b.mp4"):
        job = preset_job("poster", [given], "out")
        assert (f"{tmp_path.as_uri()}/a%3Db.mp4", f"{tmp_path.as_uri()}/out") == (
            job.spec.inputs["source"].uri,
            job.spec.output.uri,
        )
    job = preset_job("compare", ["reference=https://host/a?x=y", "distorted=b.mp4"], None)
    assert "https://host/a?x=y" == job.spec.inputs["reference"].uri
    for wrong, says in (
        (["a.mp4", "b.mp4"], "NAME=PATH"),
        (["reference=a", "reference=b"], "twice"),
        (["reference=a"], "given are reference"),
    ):
        with pytest.raises(UsageError, match=says):
            preset_job("compare", wrong, None)


def telecine(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "telecine_client.cli", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_line_lists_and_shows_presets() -> None:
    """With what each is for; one by itself as it is; as JSON lines for programs."""
    listed = telecine("presets").stdout.splitlines()
    assert list(presets.names()) == [line.split()[0] for line in listed]
    assert presets.text("hls-ladder") == telecine("presets", "hls-ladder").stdout
    lines = [json.loads(line) for line in telecine("--json", "presets").stdout.splitlines()]
    assert {"name": "poster", "description": presets.describe("poster")} in lines
    unknown = telecine("presets", "web")
    assert (2, True) == (unknown.returncode, "there is no preset 'web'" in unknown.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit",),
        ("submit", "job.yaml", "--preset", "poster"),
        ("submit", "job.yaml", "--input", "a.mp4"),
        ("submit", "job.yaml", "--output", "out"),
    ],
)
def test_files_and_a_preset_exclude_each_other(arguments: tuple[str, ...]) -> None:
    """Said before anything is read."""
    refused = telecine(*arguments)
    assert (2, True) == (refused.returncode, "--preset NAME" in refused.stderr)
