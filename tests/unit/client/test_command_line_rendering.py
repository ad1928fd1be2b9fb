"""Jobs, workers and numbers in words and tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from telecine.v1 import job_pb2, media_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import Job, wire
from telecine_client.cli import rendering
from telecine_client.cli.connection import Connection
from telecine_client.cli.exits import ExitCode, first_bad
from telecine_client.cli.json_lines import stats_json, worker_json
from telecine_client.cli.tables import JobTable, Table, WorkerTable, stats_lines

DUE = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def job(state: job_pb2.JobState.ValueType, **fields: object) -> Job:
    message = job_pb2.Job(tenant="default", job_id="j1", revision=7, state=state)
    message.MergeFrom(job_pb2.Job(**fields))  # type: ignore[arg-type]
    return wire.job(message)


def waiting(reason: job_pb2.WaitReason.ValueType) -> Job:
    message = job_pb2.Job(wait_reason=reason)
    message.due_time.FromDatetime(DUE)
    return job(job_pb2.JOB_STATE_WAITING, wait_reason=reason, due_time=message.due_time)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (job_pb2.WAIT_REASON_NOT_BEFORE, "waiting (not before until 2030-01-02 03:04:05Z)"),
        (job_pb2.WAIT_REASON_BACKOFF, "waiting (backoff until 2030-01-02 03:04:05Z)"),
        (job_pb2.WAIT_REASON_REFUSED, "waiting (refused until 2030-01-02 03:04:05Z)"),
    ],
)
def test_a_waiting_job_says_why_and_until_when(reason: job_pb2.WaitReason.ValueType, expected: str) -> None:
    """In UTC, as all times are."""
    assert expected == rendering.summary(waiting(reason))


def test_a_blocked_job_says_why() -> None:
    """Beside its state, in a line and in a table."""
    blocked = job(job_pb2.JOB_STATE_QUEUED, blocked_reason="no worker serves the queue gpu")
    assert "queued (blocked: no worker serves the queue gpu)" == rendering.summary(blocked)
    assert "blocked: no worker serves the queue gpu" == rendering.note(blocked)


def test_what_others_wrote_cannot_steer_the_terminal() -> None:
    """Labels, reasons and messages are shown on one line, control characters as escapes."""
    evil = "a\x1b[2Jb\nc\u202e"
    shown = [
        *rendering.describe(job(job_pb2.JOB_STATE_CANCELLED, cancel_reason=evil, labels={"k": evil})),
        rendering.note(job(job_pb2.JOB_STATE_CANCELLED, cancel_reason=evil)),
        rendering.note(job(job_pb2.JOB_STATE_FAILED, failure=job_pb2.Failure(message=evil))),
        rendering.summary(job(job_pb2.JOB_STATE_QUEUED, blocked_reason=evil)),
        *rendering.failure_lines(wire.failure(job_pb2.Failure(message=evil, log_tail=evil))),
    ]
    assert r"reason: a\x1b[2Jb\nc\u202e" in shown
    assert all(line.isprintable() for line in shown)


def test_a_job_in_full_has_its_labels_generation_and_attempts() -> None:
    """Each attempt with its worker, its end and what was wrong with it."""
    lost = job_pb2.Attempt(
        number=1,
        worker_id="w1",
        outcome=job_pb2.Attempt.OUTCOME_LOST,
        failure=job_pb2.Failure(kind=job_pb2.Failure.KIND_CRASH, reason="WORKER_LOST", message="it went silent"),
    )
    lost.start_time.FromDatetime(DUE)
    lost.end_time.FromDatetime(DUE + timedelta(seconds=30))
    lines = list(
        rendering.describe(
            job(
                job_pb2.JOB_STATE_RUNNING,
                labels={"show": "news", "a": "b"},
                generation=2,
                attempt_count=2,
                attempts=[lost, job_pb2.Attempt(number=2, worker_id="w2")],
            )
        )
    )
    assert [
        "state         running attempt 2",
        "labels        a=b, show=news",
        "generation    2",
        "attempts      2",
        "  1  w1  lost  30.0 s  crash WORKER_LOST: it went silent",
        "  2  w2  running",
    ] == lines[2:]


def test_a_job_in_full_says_what_was_asked() -> None:
    """Task, inputs without their queries, output, where it runs, limits, retries; the defaults where nothing is."""
    spec = media_pb2.JobSpec(
        inputs={"film": media_pb2.Input(uri="https://h/a.mp4?sig=s3cret", headers={"Authorization": ""})},
        output=media_pb2.Output(uri="file:///out", if_exists=media_pb2.Output.IF_EXISTS_FAIL),
        task=media_pb2.Task(
            transcode=media_pb2.TranscodeTask(
                input="film", path="a.mp4", video=media_pb2.Video(codec="h264", crf=0, two_pass=True)
            )
        ),
        requirements=["gpu/nvidia"],
        units=2,
        priority=0,
        retry_policy=media_pb2.RetryPolicy(max_attempts=1),
    )
    spec.task.transcode.video.frame_rate.numerator = 25
    spec.task.transcode.video.frame_rate.denominator = 1
    spec.limits.total_timeout.FromSeconds(7200)
    asked = job(job_pb2.JOB_STATE_QUEUED, spec=spec)
    video = "(codec=h264 frame_rate=25/1 crf=0 two_pass=true)"
    assert [
        f"task          transcode input=film path=a.mp4 video={video}",
        "input         film  https://h/a.mp4 headers=Authorization",
        "output        file:///out if_exists=IF_EXISTS_FAIL",
        "queue         default",
        "priority      0",
        "requirements  gpu/nvidia",
        "units         2",
        "limits        total_timeout=7200s",
        "retry policy  max_attempts=1",
    ] == list(rendering.describe(asked))[3:]

    raw = media_pb2.JobSpec(task=media_pb2.Task(ffmpeg=media_pb2.FfmpegTask(args=["-i", "a b", "c.mp4"])))
    lines = list(rendering.describe(job(job_pb2.JOB_STATE_QUEUED, spec=raw)))
    assert ["task          ffmpeg -i 'a b' c.mp4", "queue         default", "priority      50"] == lines[3:6]


def test_a_task_without_files_shows_what_it_found() -> None:
    """What the input is, what was measured, and the first detections of each kind."""
    result = job_pb2.JobResult(
        measurements={"loudness.integrated_lufs": -23.04, "scenes.count": 12},
        inputs={"film": media_pb2.MediaInfo(format="mov", video_streams=[media_pb2.VideoStream(codec="h264")])},
        detections=[
            *(job_pb2.Detection(kind=job_pb2.Detection.KIND_SCENE_CHANGE) for _ in range(12)),
            job_pb2.Detection(kind=job_pb2.Detection.KIND_BLACK),
        ],
    )
    for number, found in enumerate(result.detections):
        found.start.FromSeconds(number)
    result.detections[-1].end.FromMilliseconds(13500)
    lines = list(rendering.ending(job(job_pb2.JOB_STATE_SUCCEEDED, result=result)))
    assert ["film: mov, h264 0x0", "loudness.integrated_lufs = -23.04", "scenes.count = 12"] == lines[:3]
    assert ["scene change at 9.00 s", "black at 12.00 s to 13.50 s", "2 more of: scene change"] == lines[12:]


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (200_000, "2d")]
)
def test_ages_are_short(seconds: int, text: str) -> None:
    """At least two of their unit; a clock that is behind makes no negative age."""
    assert text == rendering.age_text(timedelta(seconds=seconds))


def test_a_table_is_aligned_and_stays_so() -> None:
    """The head comes once; later rows are not narrower; nothing is a dash."""
    table = Table(("A", "B"))
    assert ["A       B", "longer  1"] == list(table.lines([("longer", "1")]))
    assert ["x       -"] == list(table.lines([("x", "")]))


def test_jobs_in_a_table() -> None:
    """Wide ones say the task, the queue and the labels as well."""
    spec = media_pb2.JobSpec(task=media_pb2.Task(probe=media_pb2.ProbeTask(input="a")))
    one = job(job_pb2.JOB_STATE_QUEUED, spec=spec, labels={"a": "b"}, attempt_count=1)
    assert ["JOB  STATE   AGE  ATTEMPTS  NOTE", "j1   queued  -    1         -"] == list(
        JobTable(wide=False).lines([one])
    )
    assert ["j1", "queued", "-", "1", "probe", "default", "a=b", "-"] == list(JobTable(wide=True).lines([one]))[
        1
    ].split()


def test_a_table_of_jobs_keeps_to_the_terminal() -> None:
    """A long reason is cut; a wide table is not."""
    one = job(job_pb2.JOB_STATE_QUEUED, blocked_reason="x" * 200)
    cut = list(JobTable(wide=False, width=80).lines([one]))[1]
    assert (80, "…") == (len(cut), cut[-1])
    assert 200 < len(list(JobTable(wide=True, width=80).lines([one]))[1])


def test_workers_and_stats() -> None:
    """For people, and in the contract's JSON with its zeros."""
    worker = wire.worker(service_pb2.Worker(worker_id="w1", queues=["a", "b"], slot_count=2, capabilities=["y", "x"]))
    draining = wire.worker(service_pb2.Worker(worker_id="w2", draining=True))
    assert [
        "WORKER  STATE      SLOTS  BUSY  QUEUES  CONNECTED  SEEN",
        "w1      connected  2      0     a,b     -          -",
        "w2      draining   0      0     -       -          -",
    ] == list(WorkerTable(wide=False).lines([worker, draining]))
    assert "x,y" == list(WorkerTable(wide=True).lines([worker]))[1].split()[-1]
    assert ("w1", 0, False) == tuple(
        json.loads(worker_json(worker))[key] for key in ("workerId", "busySlotCount", "draining")
    )

    message = service_pb2.GetQueueStatsResponse(
        jobs_by_state={"queued": 3}, worker_count=1, slot_count=4, busy_slot_count=2
    )
    message.oldest_queued_duration.FromSeconds(90)
    stats = wire.queue_stats(message)
    lines = list(stats_lines(stats))
    assert "queued          3" in lines
    assert ["blocked         0", "oldest queued   90s", "workers         1", "slots           2 of 4 busy"] == lines[
        -4:
    ]
    as_json = json.loads(stats_json(stats))
    assert ("3", "90s", "0") == (
        as_json["jobsByState"]["queued"],
        as_json["oldestQueuedDuration"],
        as_json["blockedJobCount"],
    )


def test_the_first_that_did_not_go_well_decides() -> None:
    """Over the exit code of a command about several jobs."""
    assert ExitCode.CANCELLED is first_bad([ExitCode.SUCCEEDED, ExitCode.CANCELLED, ExitCode.FAILED])
    assert ExitCode.SUCCEEDED is first_bad([])


def test_a_hint_leads_to_the_same_scheduler() -> None:
    """With every option that says how to reach it."""
    connection = Connection(address="a:1", tenant="t", tls=True, ca_file="my ca.pem", token_file="tok")
    assert "telecine --tls --address a:1 --tenant t --ca-file 'my ca.pem' --token-file tok" == connection.command()


def test_what_an_attempt_cost_is_shown() -> None:
    """In its line, as far as it is known, and where its time went in the next."""
    attempt = job_pb2.Attempt(number=2, worker_id="w1", outcome=job_pb2.Attempt.OUTCOME_SUCCEEDED)
    assert ["2  w1  succeeded"] == list(rendering.attempt_lines(wire.attempt(attempt)))
    attempt.cpu_duration.FromMilliseconds(12_340)
    attempt.peak_memory_bytes, attempt.input_size_bytes, attempt.output_size_bytes = 210_000_000, 5_000, 900
    attempt.phase_durations["ENCODING"].FromMilliseconds(3_210)
    attempt.phase_durations["FETCHING"].FromMilliseconds(4)
    assert [
        "2  w1  succeeded  cpu 12.3 s  peak 210.0 MB  in 5.0 kB  out 900 bytes",
        "   fetching 0.00 s, encoding 3.21 s",
    ] == list(rendering.attempt_lines(wire.attempt(attempt)))


def test_warnings_are_shown_with_the_result() -> None:
    """Each on a line of its own, whatever stands in it."""
    warnings = [
        job_pb2.Warning(reason="INPUT_DAMAGED", message="3 errors\nin a", count=3, input="film"),
        job_pb2.Warning(reason="HARDWARE_FAILED", message="software was used", count=1),
    ]
    assert [
        "warning of film: INPUT_DAMAGED: 3 errors\\nin a (3 times)",
        "warning: HARDWARE_FAILED: software was used",
    ] == list(rendering.result_lines(wire.job_result(job_pb2.JobResult(warnings=warnings))))
