"""`--set PATH=VALUE`: what it reaches, and what it says where it reaches nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from telecine.v1 import media_pb2
from telecine_client.cli.assignments import assign
from telecine_client.cli.exits import UsageError
from telecine_client.errors import InvalidRequest


def a_spec() -> media_pb2.JobSpec:
    rendition = media_pb2.Rendition(name="720p", video=media_pb2.Video(codec="h264", crf=23))
    return media_pb2.JobSpec(
        inputs={"film": media_pb2.Input(uri="file:///a")},
        task=media_pb2.Task(packaging=media_pb2.PackagingTask(input="film", renditions=[rendition])),
        labels={"show": "news"},
        requirements=["gpu/nvidia"],
    )


def test_fields_are_set_by_their_path() -> None:
    """Numbers, words, durations, messages, items of lists, entries of maps with dots in their keys; the last one wins."""
    spec = a_spec()
    assign(
        spec,
        [
            "priority=10",
            "priority=70",
            "task.packaging.segment_duration=4s",
            "task.packaging.audio={codec: aac, bitrate_bps: 96000}",
            "task.packaging.renditions.0.video.bitrate_bps=500000",
            "task.packaging.formats=[FORMAT_DASH]",
            "inputs.film.uri=https://host/?a=b",
            "labels.film.part=one=1",
            "output.uri=file:///out",
            "not_before_time=2100-01-01T00:00:00Z",
            "task.packaging.filters.deinterlace=true",
        ],
    )
    packaging = spec.task.packaging
    video = packaging.renditions[0].video
    assert (70, 4, "aac") == (spec.priority, packaging.segment_duration.seconds, packaging.audio.codec)
    assert (500_000, "bitrate_bps") == (video.bitrate_bps, video.WhichOneof("rate_control"))
    assert ([media_pb2.PackagingTask.FORMAT_DASH], True) == (list(packaging.formats), packaging.filters.deinterlace)
    assert ("https://host/?a=b", "file:///out") == (spec.inputs["film"].uri, spec.output.uri)
    assert {"show": "news", "film.part": "one=1"} == dict(spec.labels)
    assert 4102444800 == spec.not_before_time.seconds


def test_local_paths_are_made_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a job's file: relative to where the caller is."""
    monkeypatch.chdir(tmp_path)
    spec = a_spec()
    assign(spec, ["inputs.film.uri=films/a b.mp4", "output.uri=/out"])
    assert ((tmp_path / "films/a b.mp4").as_uri(), "file:///out") == (spec.inputs["film"].uri, spec.output.uri)


def test_null_takes_away() -> None:
    """A field, an entry, a whole list."""
    spec = a_spec()
    assign(spec, ["labels.show=null", "requirements=null", "task.packaging.renditions.0.video.crf=null"])
    assert ({}, [], None) == (
        dict(spec.labels),
        list(spec.requirements),
        spec.task.packaging.renditions[0].video.WhichOneof("rate_control"),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("priority=high", "--set spec does not fit the contract: Failed to parse priority"),
        ("labels.show=5", "--set spec.labels"),
        ("labels.show.part=5", "--set spec.labels"),
        ("task.packaging.segment_duration=4", "--set task.packaging.segment_duration is a number"),
    ],
)
def test_a_value_of_another_kind_is_told_with_its_path(text: str, says: str) -> None:
    """As in a file."""
    with pytest.raises(InvalidRequest) as wrong:
        assign(a_spec(), [text])
    assert str(wrong.value).startswith(says), str(wrong.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("priority", "write PATH=VALUE"),
        ("task.packaging.rendition.0.name=x", "PackagingTask has no field rendition; it has .*renditions"),
        ("task.packaging.renditions.1.name=x", "renditions has 1 items: write renditions.0.FIELD"),
        ("task.packaging.renditions.0=x", "renditions.0.FIELD"),
        ("priority.x=1", "priority has no parts"),
        ("requirements.0=x", "requirements has no parts; set it as a whole"),
        ("inputs.movie.uri=file:///secret", "inputs has film: write inputs.NAME.FIELD"),
        ("inputs.film.headers={secret", "the value is no YAML"),
    ],
)
def test_what_leads_nowhere_is_told(text: str, says: str) -> None:
    """With what there is; a value, which may be a secret, is not repeated."""
    with pytest.raises(UsageError, match=says) as wrong:
        assign(a_spec(), [text])
    assert "secret" not in str(wrong.value)
