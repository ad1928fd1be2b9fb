"""What can be seen of a submission before a worker has it: tasks, limits, URIs and headers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from support.running_scheduler import a_spec
from telecine.v1 import media_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.rpc.validation import Validation, newer_kind

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


RESERVED = [
    *("accept-encoding", "connection", "content-length", "expect", "host", "if-match", "if-modified-since"),
    *("if-none-match", "if-range", "if-unmodified-since", "keep-alive", "proxy-authenticate", "proxy-authorization"),
    *("proxy-connection", "range", "te", "trailer", "transfer-encoding", "upgrade"),
]


def test_headers() -> None:
    """Any that the fetch does not set itself; printable values; each once; and for http alone."""
    assert {} == violations(with_source("https://host/in", Authorization="Bearer x", X_Key="a\tb", Cookie=""))
    for name in RESERVED:
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


def with_args(*args: str, outputs: tuple[str, ...] = ("out.mp4",)) -> media_pb2.JobSpec:
    return with_task(ffmpeg=media_pb2.FfmpegTask(args=args, outputs=outputs))


@pytest.mark.parametrize("secret", ["https://u:secret@h/x?sig=secret", "/secret/in.mp4", "", "-secret", "secret" * 20])
def test_what_is_no_name_of_an_input_is_not_repeated(secret: str) -> None:
    """It may be a URI with its secrets: the field says where it stands, for raw arguments and for each kind of task."""
    raw = violations(with_args("-i", "in", "-i", secret, "out.mp4"))
    assert {"spec.task.ffmpeg.args[3]"} == raw.keys()
    for kind, task in (
        ("probe", media_pb2.ProbeTask(input=secret)),
        ("transcode", media_pb2.TranscodeTask(input=secret, path="a.mp4", video=media_pb2.Video(codec="h264"))),
        ("thumbnails", media_pb2.ThumbnailsTask(input=secret, path="%d.jpg", count=1)),
    ):
        found = violations(with_task(output=kind != "probe", **{kind: task}))
        assert {f"spec.task.{kind}.input", 'spec.inputs["in"]'} == found.keys()
        assert "secret" not in str(found)
    assert "secret" not in str(raw)


def test_an_input_that_is_named_and_not_there() -> None:
    """A name is repeated, so that a slip of the pen is seen; what is quoted is short."""
    assert "'film'" in violations(with_args("-i", "in", "-i", "film", "out.mp4"))["spec.inputs"]
    long = violations(with_args("-i", "in", outputs=("x" * 1000,)))["spec.task.ffmpeg.outputs[0]"]
    assert len(long) < 150


def encoded(number: int) -> bytes:
    """A field of this number (16 to 2047), of the value 1."""
    key = number << 3
    return bytes([key & 0x7F | 0x80, key >> 7, 1])


def test_an_unknown_field_is_told_once_a_message() -> None:
    """However many it has; inside of others too; at most fifty in all; and a known one is none."""
    spec = media_pb2.JobSpec.FromString(a_spec().SerializeToString() + encoded(1900) * 19_000)
    spec.task.transcode.video.MergeFromString(encoded(1901))
    assert {
        "spec": "has an unknown field with the number 1900; remove it",
        "spec.task.transcode.video": "has an unknown field with the number 1901; remove it",
    } == violations(spec)
    many = thumbnails(offsets=media_pb2.OffsetList(offsets=[{"seconds": 1}] * 1000))
    for offset in many.task.thumbnails.offsets.offsets:
        offset.MergeFromString(encoded(1902))
    assert 50 == len(violations(many))


def too_much() -> dict[str, media_pb2.JobSpec]:
    """Specs of less than 64 KiB with far more items than may be, by the field that has them."""
    return {
        "spec.task.thumbnails.offsets.offsets": thumbnails(offsets=media_pb2.OffsetList(offsets=[{}] * 30_000)),
        "spec.task.ffmpeg.args": with_args(*[""] * 30_000),
        "spec.labels": a_spec(labels={f"{number}!": "" for number in range(5000)}),
        "spec.inputs": a_spec(inputs={f"{number}!": media_pb2.Input() for number in range(4000)}),
        "spec.requirements": a_spec(requirements=["!"] * 15_000),
    }


@pytest.mark.parametrize("field", too_much())
def test_too_many_items_are_not_looked_at(field: str) -> None:
    """One violation says how many there are; what is wrong with each of them is not gone into."""
    assert {field} == violations(too_much()[field]).keys()
    assert "at most" in violations(too_much()[field])[field]


def test_a_path_over_http_is_any_bytes() -> None:
    """Percent-encoded ones need not be UTF-8 there; a file's name has to be."""
    assert {} == violations(with_source("https://host/caf%E9.mp4"))
    assert {'spec.inputs["in"].uri'} == violations(with_source("file:///caf%E9.mp4")).keys()


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_object_stores(scheme: str) -> None:
    """For inputs and for the output; http is for inputs alone. A query is refused, and not told."""
    source, place = with_source(f"{scheme}://bucket/in"), a_spec(output=media_pb2.Output(uri=f"{scheme}://bucket/out"))
    assert [{}, {}] == [violations(each) for each in (source, place)]
    assert {"spec.output.uri"} == violations(a_spec(output=media_pb2.Output(uri="http://host/out"))).keys()
    refused = violations(with_source(f"{scheme}://bucket/in?token=secret"))
    assert ["has a query or fragment, and an object has none; write ? as %3F and # as %23"] == list(refused.values())


def test_a_kind_of_a_newer_contract_is_known_by_its_number() -> None:
    """It comes alone; beside a kind that we know it is an unknown field like all others, and no task at all is no newer one."""
    spec = a_spec()
    spec.task.MergeFromString(encoded(1900))
    assert ("", {"spec.task"}) == (newer_kind(spec), violations(spec).keys())
    spec.task.ClearField("transcode")
    assert "the task kind with the number 1900 is not there yet; there are audio, concat, " in newer_kind(spec)
    spec.ClearField("task")
    assert "" == newer_kind(spec)
