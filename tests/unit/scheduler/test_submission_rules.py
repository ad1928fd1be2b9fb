"""What can be seen of a submission before a worker has it: tasks, limits, URIs and headers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from support.running_scheduler import a_spec
from telecine.v1 import media_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.rpc.uris import RESERVED_HEADERS
from telecine_scheduler.rpc.validation import Validation, unsupported

VALIDATION = Validation()


def violations(spec: media_pb2.JobSpec) -> dict[str, str]:
    """What is wrong with a submission, by field."""
    found = VALIDATION.submission_violations(pb.SubmitJobRequest(spec=spec))
    return {each.field: each.description for each in found}


def with_task(*, output: bool = True, **task: Any) -> media_pb2.JobSpec:
    spec = a_spec()
    spec.task.CopyFrom(media_pb2.Task(**task))
    if not output:
        spec.ClearField("output")
    return spec


def thumbnails(path: str = "%03d.jpg", **fields: Any) -> media_pb2.JobSpec:
    fields = fields or {"count": 3}
    return with_task(thumbnails=media_pb2.ThumbnailsTask(input="in", path=path, **fields))


def with_source(uri: str, **headers: str) -> media_pb2.JobSpec:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return a_spec(inputs={"in": media_pb2.Input(uri=uri, headers=names)})


@pytest.mark.parametrize("path", ["%d.jpg", "thumbs/%03d.png", "a-%09d-b.webp", "%01d.jpeg", "%d.JPG"])
def test_paths_of_thumbnails(path: str) -> None:
    """One number in the name of the file, and an extension of a picture."""
    assert {} == violations(thumbnails(path))


@pytest.mark.parametrize(
    "path",
    ["one.jpg", "%d-%d.jpg", "%3d.jpg", "%0d.jpg", "%s.jpg", "100%/%d.jpg", "%d/a.jpg", "%%d.jpg", "%d.gif", "%d"],
)
def test_bad_paths_of_thumbnails(path: str) -> None:
    """Each is refused by name."""
    assert {"spec.task.thumbnails.path"} == violations(thumbnails(path)).keys()


def test_selections_of_thumbnails() -> None:
    """One has to be there, in its bounds; bad durations are found inside lists too."""
    none = with_task(thumbnails=media_pb2.ThumbnailsTask(input="in", path="%d.jpg"))
    assert {"spec.task.thumbnails.selection"} == violations(none).keys()
    assert {"spec.task.thumbnails.count"} == violations(thumbnails(count=0)).keys()
    assert {"spec.task.thumbnails.best"} == violations(thumbnails(best=101)).keys()
    offsets = thumbnails(offsets=media_pb2.OffsetList())
    assert {"spec.task.thumbnails.offsets.offsets"} == violations(offsets).keys()
    for seconds, nanos in ((1, 0), (1, -5)):
        offsets.task.thumbnails.offsets.offsets.add(seconds=seconds, nanos=nanos)
    assert "spec.task.thumbnails.offsets.offsets[1]" in violations(offsets)


def test_a_probe_writes_nothing() -> None:
    """It needs no output, and one that is given is refused; every other kind needs one."""
    probe = {"probe": media_pb2.ProbeTask(input="in")}
    assert {} == violations(with_task(output=False, **probe))
    assert {"spec.output"} == violations(with_task(**probe)).keys()
    assert {"spec.output"} == violations(
        with_task(output=False, thumbnails=media_pb2.ThumbnailsTask(input="in", path="%d.jpg", count=1))
    ).keys()


def limited(**seconds: float) -> media_pb2.JobSpec:
    spec = a_spec()
    for name, value in seconds.items():
        getattr(spec.limits, name).FromTimedelta(timedelta(seconds=value))
    return spec


DAY = 86_400


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"queue_timeout": 11, "total_timeout": 10}, "queue_timeout"),
        ({"soft_run_timeout": 10, "hard_run_timeout": 10}, "soft_run_timeout"),
        ({"soft_run_timeout": 2 * DAY}, "soft_run_timeout"),
        ({"hard_run_timeout": 8 * DAY}, "hard_run_timeout"),
        ({"stall_timeout": 0.5}, "stall_timeout"),
        ({"stall_timeout": 2 * DAY}, "stall_timeout"),
        ({"queue_timeout": 0.0005}, "queue_timeout"),
        ({"total_timeout": 400 * DAY}, "total_timeout"),
        ({"total_timeout": 0}, "total_timeout"),
        ({"cancel_grace": 601}, "cancel_grace"),
        ({"hard_run_timeout": -5}, "hard_run_timeout"),
    ],
)
def test_limits_that_do_not_fit(limits: dict[str, float], field: str) -> None:
    """Each names the one that is wrong."""
    assert {f"spec.limits.{field}"} == violations(limited(**limits)).keys()


def test_limits_that_fit() -> None:
    """All at once, at their bounds, and the soft one below the default of the hard one."""
    assert {} == violations(
        limited(
            queue_timeout=0.001,
            total_timeout=0.001,
            soft_run_timeout=DAY,
            hard_run_timeout=7 * DAY,
            stall_timeout=1,
            cancel_grace=0,
        )
    )
    assert {} == violations(limited(soft_run_timeout=DAY - 1))


@pytest.mark.parametrize(
    "uri",
    [
        "http://host/in.mp4", "https://host:8443/a/b.mp4?token=a%20b&x=1", "http://[::1]:1/in",
        "https://127.0.0.1:65535/in", "http://host:/in",
    ],
)  # fmt: skip
def test_sources_over_http(uri: str) -> None:
    """Taken as they are: where they may lead, the worker decides when it connects."""
    assert {} == violations(with_source(uri))
    assert "" == unsupported(with_source(uri))


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("http://user@host/secret", "user name"),
        ("http://user:secret@host/in", "user name"),
        ("http://host/in#secret", "fragment"),
        ("http://host/in#", "fragment"),
        ("http://host:0/in", "port"),
        ("http://host:65536/in", "port"),
        ("http://host:secret/in", "port"),
        ("http://:80/in", "host"),
        ("http://?secret", "host"),
        ("http://host/a secret", "percent-encoded"),
        ("http://host/a\tsecret", "percent-encoded"),
        ("http://host\\@secret/", "percent-encoded"),
        ("http://höst/in", "percent-encoded"),
        ("http://[::1/secret", "no valid URI"),
    ],
)
def test_bad_sources_over_http(uri: str, says: str) -> None:
    """Each says what would be right, and nothing of what may be secret."""
    found = VALIDATION.submission_violations(pb.SubmitJobRequest(spec=with_source(uri)))
    texts = "; ".join(each.description for each in found if each.field == 'spec.inputs["in"].uri')
    assert says in texts
    assert "secret" not in texts


def test_headers() -> None:
    """Any that the fetch does not set itself; printable values; each once; and for http alone."""
    assert {} == violations(with_source("https://host/in", Authorization="Bearer x", X_Key="a\tb", Cookie=""))
    for name in RESERVED_HEADERS:
        field = f'spec.inputs["in"].headers["{name.title()}"]'
        assert {field} == violations(with_source("https://host/in", **{name.title(): "x"})).keys()
    for value in ("a\r\nb", "a\nb", "a\0b", "naïve"):
        found = violations(with_source("https://host/in", Authorization=value))
        assert {'spec.inputs["in"].headers["Authorization"]'} == found.keys()
        assert value not in str(found)
    assert {'spec.inputs["in"].headers["x-key"]'} == violations(
        with_source("https://host/in", **{"X-Key": "1", "x-key": "2"})
    ).keys()
    assert {'spec.inputs["in"].headers'} == violations(with_source("file:///in.mp4", X="1")).keys()


def test_mistakes_of_every_sort_are_told_at_once() -> None:
    """Rules of the protos, of several fields, and of times; of one field only one."""
    spec = thumbnails("%d-%d.gif", count=5000)
    spec.inputs["in"].uri = "http://user@host/in"
    spec.inputs["more"].uri = "file:///more"
    spec.retry_policy.max_attempts = -1
    spec.limits.queue_timeout.FromTimedelta(timedelta(seconds=2))
    spec.limits.total_timeout.FromTimedelta(timedelta(seconds=1))
    spec.not_before_time.nanos = -1

    assert {
        "spec.task.thumbnails.path", "spec.task.thumbnails.count", 'spec.inputs["in"].uri', 'spec.inputs["more"]',
        "spec.retry_policy.max_attempts", "spec.limits.queue_timeout", "spec.not_before_time",
    } == violations(spec).keys()  # fmt: skip


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_schemes_that_come_later(scheme: str) -> None:
    """For inputs and for the output; and http is for inputs alone."""
    source, place = with_source(f"{scheme}://bucket/in"), a_spec(output=media_pb2.Output(uri=f"{scheme}://bucket/out"))
    assert [True, True] == [f"{scheme}://" in unsupported(each) for each in (source, place)]
    assert {"spec.output.uri"} == violations(a_spec(output=media_pb2.Output(uri="http://host/out"))).keys()
