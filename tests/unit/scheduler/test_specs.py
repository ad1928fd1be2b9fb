"""Specs: secrets, equality, and what the queue takes from them."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from support.running_scheduler import a_spec
from telecine.v1 import media_pb2
from telecine_scheduler.domain.job import JobName
from telecine_scheduler.domain.submission import Limits, Retention
from telecine_scheduler.rpc.specs import differing_fields, digest, redacted, to_submission

NAME = JobName(tenant="default", job_id="job")
SECRET = media_pb2.Input(uri="https://user:word@host/in.mp4?token=hidden#part", headers={"Authorization": "hidden"})


def test_a_redacted_spec_has_no_secrets() -> None:
    """Header values, queries, fragments and user names go; the rest stays."""
    spec = a_spec(inputs={"in": SECRET}, output=media_pb2.Output(uri="s3://bucket/out?key=hidden"))

    shown = redacted(spec)

    assert ("https://host/in.mp4", {"Authorization": ""}) == (shown.inputs["in"].uri, dict(shown.inputs["in"].headers))
    assert "hidden" not in str(shown)
    assert "word" not in str(shown)
    assert "hidden" in spec.inputs["in"].uri


def test_specs_that_differ_in_secrets_are_equal() -> None:
    """A fresh token is not another job."""
    fresh = media_pb2.Input(uri="https://host/in.mp4?token=fresh", headers={"Authorization": "fresh"})
    one, other = a_spec(inputs={"in": SECRET}), a_spec(inputs={"in": fresh})

    assert digest(one) == digest(other)
    assert () == differing_fields(one.SerializeToString(), other.SerializeToString())


def test_specs_that_differ_say_where() -> None:
    """Dotted names down to the field; one that is set and one that is not differ as well."""
    one, other = a_spec(), a_spec(priority=0)
    other.task.transcode.video.crf = 20

    assert ("spec.task.transcode.video.crf", "spec.priority") == differing_fields(
        one.SerializeToString(), other.SerializeToString()
    )


URIS = st.sampled_from(
    [
        "file:///in.mp4", "FILE:///in.mp4", "https://host/in.mp4", "https://host/in?x=1", "https://host/in?", "https://u@host/",
        "https://host/#", "https://host/caf%E9", "s3://bucket/key", "https://HOST/in", "https://host/a;b", "",
    ]
)  # fmt: skip


@given(URIS, URIS, st.dictionaries(st.sampled_from(["X", "Y"]), st.sampled_from(["", "hidden"])))
def test_a_digest_is_that_of_the_redacted_spec(source: str, place: str, headers: dict[str, str]) -> None:
    """With secrets and without: what is stored already has to be recognized."""
    spec = a_spec(inputs={"in": media_pb2.Input(uri=source, headers=headers)}, output=media_pb2.Output(uri=place))

    assert hashlib.sha256(redacted(spec).SerializeToString(deterministic=True)).digest()[:16] == digest(spec)


def test_a_digest_never_changes() -> None:
    """It is kept with each job, for longer than a scheduler runs."""
    digests = [digest(spec).hex() for spec in (a_spec(), a_spec(inputs={"in": SECRET}))]
    assert ["2c962d6e098d1a4451ec02b816538402", "8375e4cc64390953e589defe38aac5b5"] == digests


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_a_map_makes_no_difference(names: list[str]) -> None:
    """Equal when parsed is equal, however it was serialized."""
    one, other = a_spec(), a_spec()
    for name in sorted(names):
        one.labels[name] = "x"
    for name in names:
        other.labels[name] = "x"

    assert digest(one) == digest(other)


def test_defaults_are_filled_in() -> None:
    """Queue default, priority 50, one unit, three attempts, what the operator keeps, a day at most for a run."""
    kept = Retention(succeeded=timedelta(hours=5))
    job = to_submission(NAME, a_spec(), kept)

    assert ("default", 1, 50, 0, {}) == (
        job.job_class.queue, job.job_class.units, job.priority, job.not_before, job.labels,
    )  # fmt: skip
    assert (3, kept, Limits()) == (job.retry.max_attempts, job.retention, job.limits)
    assert timedelta(hours=24) == job.limits.hard_run


def test_a_priority_of_zero_is_not_the_default() -> None:
    """0 is the lowest, and absent is 50; a backoff of 0 is at once."""
    spec = a_spec(priority=0)
    spec.retry_policy.initial_backoff.FromTimedelta(timedelta())
    job = to_submission(NAME, spec, Retention())

    assert (0, timedelta()) == (job.priority, job.retry.initial_backoff)


def test_limits_labels_and_retention_are_taken() -> None:
    """Each to its place; a job's own retention holds for every end."""
    spec = a_spec(labels={"show": "news"})
    hours = {"queue_timeout": 1, "total_timeout": 2, "hard_run_timeout": 3, "soft_run_timeout": 4}
    for name, number in hours.items():
        getattr(spec.limits, name).FromTimedelta(timedelta(hours=number))
    spec.limits.cancel_grace.FromTimedelta(timedelta())
    spec.retention_duration.FromTimedelta(timedelta(hours=6))
    job = to_submission(NAME, spec, Retention())

    one, two, three, six = (timedelta(hours=number) for number in (1, 2, 3, 6))
    assert Limits(queue=one, total=two, hard_run=three, cancel_grace=timedelta()) == job.limits
    assert Retention(succeeded=six, failed=six, cancelled=six) == job.retention
    assert {"show": "news"} == job.labels
