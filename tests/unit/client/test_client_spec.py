"""Specs from JSON, dictionaries and builders, and job files."""

from __future__ import annotations

import traceback
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pytest

from telecine.v1 import media_pb2
from telecine_client import calls, errors, job_spec, transcode
from telecine_client.cli.exits import UsageError
from telecine_client.cli.job_file import parse_job_file


def test_a_message_is_taken_as_it_is() -> None:
    """No copy, no change."""
    spec = media_pb2.JobSpec(queue="fast")
    assert spec is job_spec(spec)


@pytest.mark.parametrize("spec", ['{"retryPolicy": {"maxAttempts": 5}}', {"retry_policy": {"max_attempts": 5}}])
def test_proto_json_is_read_in_both_spellings(spec: Any) -> None:
    """As text or as a dictionary."""
    assert job_spec(spec).retry_policy.max_attempts == 5


def test_every_unknown_field_is_named_with_its_path() -> None:
    """In objects, maps and lists, all at once."""
    spec = {
        "inputs": {"a": {"uri": "file:///a", "url": "x"}},
        "task": {"concat": {"clips": [{"input": "a"}, {"input": "a", "trimm": {}}]}},
        "prio": 1,
        "limits": {"hard_run_timeout": "5s"},
    }
    with pytest.raises(errors.InvalidRequest) as caught:
        job_spec(spec)
    fields = [violation.field for violation in caught.value.violations]
    assert fields == ["spec.inputs[a].url", "spec.task.concat.clips[1].trimm", "spec.prio"]
    assert all(field in str(caught.value) for field in fields)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{", "no JSON"),
        ("[]", "spec is a list"),
        ({"limits": {"queue_timeout": "10"}}, "queue_timeout"),
        ({"priority": "high"}, "priority"),
        ({"output": {"if_exists": "MAYBE"}}, "spec.output.if_exists is none of IF_EXISTS_REPLACE, IF_EXISTS_FAIL"),
        ({"inputs": [1]}, "spec.inputs is a list; it has to be an object"),
        ({"requirements": "gpu"}, "spec.requirements is a text; it has to be a list"),
        ({"requirements": ["gpu", None]}, r"spec.requirements\[1\] is empty; it has to be a text"),
        ({"task": {"probe": {"decode": 1}}}, "spec.task.probe.decode is a number; it has to be true or false"),
        ({"limits": {"totalTimeout": 5}}, "spec.limits.totalTimeout is a number; it has to be seconds in a text"),
        ({"units": True}, "spec.units is true or false; it has to be a number"),
        (
            {"labels": {"a": 1}, "task": 2},
            r"spec.labels\[a\] is a number.*spec.task is a number; it has to be an object",
        ),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 10_000, "no JSON"),
    ],
)
def test_what_does_not_fit_is_refused_here(spec: Any, said: str) -> None:
    """The message has the field or the value that is wrong."""
    with pytest.raises(errors.InvalidRequest, match=said):
        job_spec(spec)


SECRET = "hunter2"
WITH_SECRET = f"https://h/a?sig={SECRET}"


@pytest.mark.parametrize(
    "spec",
    [
        {"inputs": WITH_SECRET},
        {"inputs": [WITH_SECRET]},
        {"inputs": {"a": WITH_SECRET}},
        {"inputs": {"a": {"uri": [WITH_SECRET]}}},
        {"inputs": {"a": {"uri": WITH_SECRET + "\ud800"}}},
        {"inputs": {"a": {"headers": f"Authorization: {SECRET}"}}},
        {"inputs": {"a": {"headers": {"Authorization": [SECRET]}}}},
        {"inputs": {"a": {"headers": {"Authorization": {"x": SECRET}}}}},
        {"inputs": {"a": {f"Authorization: {SECRET}": 1}}},
        {"inputs": {WITH_SECRET: 1}},
        {"output": WITH_SECRET},
        {"output": {"uri": {"a": WITH_SECRET}}},
        {"output": {"if_exists": SECRET}},
        {"inputs": {"a": MappingProxyType({"uri": 5, "headers": MappingProxyType({"Authorization": SECRET})})}},
        {"inputs": {"a": {"headers": {"Authorization": SECRET}}}, "priority": "x"},
    ],
)
def test_what_may_be_secret_is_not_quoted(spec: Any) -> None:
    """Neither in the message, nor in the violations, nor in what is shown as the cause."""
    with pytest.raises(errors.InvalidRequest) as caught:
        job_spec(spec)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.violations)
    assert SECRET not in shown.replace(repr(spec), "")


def test_protobufs_words_are_not_used_below_inputs_and_output() -> None:
    """They might quote; elsewhere they may."""
    with pytest.raises(errors.InvalidRequest, match="a value of its inputs or output cannot stand there"):
        job_spec({"inputs": {"a": {"uri": "\ud800"}}})
    with pytest.raises(errors.InvalidRequest, match="queue"):
        job_spec({"inputs": {"a": {"uri": "\ud800"}}, "queue": "\ud800"})


def test_any_mapping_and_tuple_will_do() -> None:
    """A program need not have dictionaries and lists."""
    spec = MappingProxyType({"requirements": ("gpu",), "labels": MappingProxyType({"a": "b"}), "limits": None})
    assert media_pb2.JobSpec(requirements=["gpu"], labels={"a": "b"}) == job_spec(spec)


def test_a_spec_beyond_its_bound_is_not_sent() -> None:
    """By size, in the words of the scheduler: the transport's would say nothing of the spec."""
    largest = media_pb2.JobSpec(requirements=["x" * (calls.MAX_SPEC_BYTES - 5)])
    assert calls.MAX_SPEC_BYTES == largest.ByteSize()
    calls.submit_request("films", largest, None)
    with pytest.raises(errors.InvalidRequest, match="spec has 65537 bytes; at most 65536 are allowed"):
        calls.submit_request("films", media_pb2.JobSpec(requirements=["x" * (calls.MAX_SPEC_BYTES - 4)]), None)
    with pytest.raises(errors.InvalidRequest, match=r"requests has \d+ bytes; at most 4194304 are allowed"):
        calls.submit_batch("films", [largest] * 65, validate_only=False)


def test_wrong_jobs_of_a_batch_are_named_by_their_places() -> None:
    """Every violation of every one."""
    jobs: list[Any] = [("a", {}), ("", {}), ("c", {"nope": 1, "no": 2})]
    with pytest.raises(errors.InvalidRequest, match=r"requests\[1\] is wrong: .*; so are 1 more") as caught:
        calls.submit_batch("films", jobs, validate_only=False)
    fields = [violation.field for violation in caught.value.violations]
    assert ["requests[1].job_id", "requests[2].spec.nope", "requests[2].spec.no"] == fields


def test_an_id_that_is_none_is_not_sent() -> None:
    """With an empty one the scheduler would choose, and a repeated send would be a second job."""
    with pytest.raises(errors.InvalidRequest, match="'' is no job id"):
        calls.submit_request("films", {}, "")


def test_transcode_builds_a_trimmed_task() -> None:
    """Only what is given is set; an offset of 0 is one."""
    spec = transcode(
        "file:///in.mkv",
        "file:///out",
        "a.mp4",
        audio=media_pb2.Audio(codec="aac"),
        start=timedelta(),
        end=timedelta(seconds=2),
    )
    task = spec.task.transcode
    assert (spec.inputs[task.input].uri, spec.output.uri) == ("file:///in.mkv", "file:///out")
    assert (task.HasField("video"), task.HasField("audio"), task.trim.HasField("start"), task.trim.end.seconds) == (
        False,
        True,
        True,
        2,
    )
    assert not transcode("file:///in.mkv", "file:///out", "a.mp4").task.transcode.HasField("trim")


def test_a_job_file_may_be_json_or_yaml() -> None:
    """The same job in both."""
    as_yaml = parse_job_file("job_id: j1\ntenant: films\nspec:\n  queue: fast\n", "a")
    as_json = parse_job_file('\n{"jobId": "j1", "tenant": "films",\t"spec": {"queue": "fast"}}', "a")
    assert as_yaml == as_json
    assert (as_json.job_id, as_json.tenant, as_json.spec.queue) == ("j1", "films", "fast")


def test_uris_of_a_job_file_are_left_alone() -> None:
    """Only what has no scheme is a local path."""
    file = parse_job_file("spec: {inputs: {a: {uri: 's3://bucket/a'}}, output: {uri: 'gs://b/c'}}", "a.yaml")
    assert (file.spec.inputs["a"].uri, file.spec.output.uri) == ("s3://bucket/a", "gs://b/c")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no job"),
        ("- a\n- b", "has no spec"),
        ('{"spec": {}', "no JSON, line 1"),
        ("spec: [", "no YAML"),
        ("spec: {}\njob_id: 7", "job_id is a number"),
    ],
)
def test_a_file_that_is_no_job_says_why(text: str, said: str) -> None:
    """With the file's name."""
    with pytest.raises(UsageError, match=said) as caught:
        parse_job_file(text, "my.yaml")
    assert "my.yaml" in str(caught.value)


def test_a_misspelt_key_beside_the_spec_is_named() -> None:
    """Nothing in the file is ignored; validate_only is no part of it."""
    with pytest.raises(errors.InvalidRequest) as caught:
        parse_job_file("spec: {}\njobid: a\nvalidate_only: true", "my.yaml")
    assert [violation.field for violation in caught.value.violations] == ["jobid", "validate_only"]


def test_yaml_cannot_make_objects() -> None:
    """Tags of Python are refused."""
    with pytest.raises(UsageError, match="no YAML"):
        parse_job_file("spec: !!python/object/apply:os.getcwd []", "my.yaml")
