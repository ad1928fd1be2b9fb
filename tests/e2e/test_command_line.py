"""The command line and the tools of others, against the whole system."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from support.ffmpeg_under_test import frames, make_clip
from support.processes import BIN, Live, ffmpeg_children, have, wait_until


def test_transcode_waits_and_says_how_it_ended(live: Live) -> None:
    """One line per change where there is no terminal, and exit code 0."""
    out = live.media / "cli" / "small.mp4"
    ran = live.system.cli(live.address, "transcode", str(live.source), str(out), "--height", "90", "--crf", "30")

    assert (0, frames(live.source)) == (ran.returncode, frames(out)), ran.stderr
    assert "succeeded" in ran.stdout + ran.stderr


def test_ffmpeg_takes_an_ffmpeg_command_line(live: Live) -> None:
    """Local paths become named inputs and declared outputs."""
    out = live.media / "cli" / "raw.mp4"
    ran = live.system.cli(
        live.address, "ffmpeg", "--", "-i", str(live.source), "-c:v", "libx264", "-preset", "veryfast", "-an", str(out)
    )

    assert (0, frames(live.source)) == (ran.returncode, frames(out)), ran.stderr


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_submit_get_watch_and_cancel(live: Live, suffix: str) -> None:
    """A file in JSON or YAML becomes a job; get shows it, watch follows it to its end, cancel comes too late."""
    job = {
        "job_id": f"file-{suffix}",
        "spec": {
            "inputs": {"in": {"uri": live.source.as_uri()}},
            "output": {"uri": (live.media / f"file-{suffix}").as_uri()},
            "task": {"transcode": {"input": "in", "path": "out.mp4", "video": {"codec": "h264", "height_px": 90}}},
        },
    }
    file = live.system.folder / f"job.{suffix}"
    file.write_text(json.dumps(job))

    submitted = live.system.cli(live.address, "submit", str(file))
    watched = live.system.cli(live.address, "--json", "watch", f"file-{suffix}")
    got = live.system.cli(live.address, "--json", "get", f"file-{suffix}")
    cancelled = live.system.cli(live.address, "cancel", f"file-{suffix}")

    assert (0, f"file-{suffix}") == (submitted.returncode, submitted.stdout.strip()), submitted.stderr
    assert "JOB_STATE_SUCCEEDED" == json.loads(watched.stdout.splitlines()[-1])["state"]
    assert "JOB_STATE_SUCCEEDED" == json.loads(got.stdout)["state"]
    assert 2 == cancelled.returncode


def test_exit_codes_say_what_happened(live: Live) -> None:
    """1 failed, 2 refused, 4 nobody there, 5 no such job."""
    missing = str(live.media / "none.mp4")
    out = str(live.media / "cli" / "never.mp4")
    assert 1 == live.system.cli(live.address, "transcode", missing, out).returncode
    assert 2 == live.system.cli(live.address, "transcode", str(live.source), out, "--crf", "99").returncode
    assert 4 == live.system.cli("127.0.0.1:1", "--request-timeout", "2s", "get", "any").returncode
    assert 5 == live.system.cli(live.address, "get", "none").returncode


def test_a_cancelled_job_ends_its_watch_with_3(live: Live) -> None:
    """Whoever waits learns that it was cancelled."""
    long = make_clip(live.media / "cli-long.mp4", seconds=20, size="640x360")
    out = live.media / "cli" / "long.mp4"
    started = live.system.cli(
        live.address, "transcode", str(long), str(out), "--preset", "veryslow", "--job-id", "to-cancel", "--detach"
    )
    assert 0 == started.returncode, started.stderr
    wait_until(lambda: ffmpeg_children("to-cancel"), "FFmpeg to run")

    assert 0 == live.system.cli(live.address, "cancel", "to-cancel").returncode
    assert 3 == live.system.cli(live.address, "watch", "to-cancel").returncode
    assert {} == ffmpeg_children("to-cancel")


@pytest.mark.skipif(not have("buf"), reason="buf is not installed")
def test_buf_curl_lists_and_calls_the_services(live: Live) -> None:
    """Reflection is enough for others' tools."""

    def buf(*arguments: str) -> str:
        argv = [str(BIN / "buf"), "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout

    listed = buf(f"http://{live.address}", "--list-services").split()
    live.system.cli(
        live.address, "transcode", str(live.source), str(live.media / "buf.mp4"), "--job-id", "by-buf", "--detach"
    )
    got = json.loads(buf("-d", '{"job_id": "by-buf"}', f"http://{live.address}/telecine.v1.SchedulerService/GetJob"))

    assert {"telecine.v1.SchedulerService", "telecine.v1.LeaseService", "grpc.health.v1.Health"} <= set(listed)
    assert "by-buf" == got["job"]["jobId"]
    assert 0 == live.system.cli(live.address, "watch", "by-buf").returncode


def test_the_worker_shows_its_metrics(live: Live, tmp_path: Path) -> None:
    """Slots, what runs, FFmpeg's speed, how attempts ended; and Prometheus's own checker has nothing to say."""
    live.system.cli(live.address, "transcode", str(live.source), str(live.media / "metrics.mp4"))

    def scrape(address: str, path: str = "/metrics") -> str:
        text: str = urllib.request.urlopen(f"http://{address}{path}", timeout=5).read().decode()
        return text

    worker = scrape(live.worker.ready["metrics"])
    for series in (
        "telecine_worker_slots 2.0", "telecine_worker_busy_slots ", "telecine_worker_connected 1.0",
        "telecine_ffmpeg_speed_count",
        'telecine_worker_attempts_total{kind="",outcome="succeeded"}', "telecine_worker_ffmpeg_speed ", "telecine_build_info{",
    ):  # fmt: skip
        assert series in worker, series
    assert ("ready", "ok") == (
        scrape(live.worker.ready["metrics"], "/readyz").strip(), scrape(live.worker.ready["metrics"], "/healthz").strip(),
    )  # fmt: skip
    if have("promtool"):
        for text in (worker, scrape(live.scheduler.ready["metrics"])):
            checked = subprocess.run(
                ["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False
            )
            ours = [
                line
                for line in checked.stdout.splitlines() + checked.stderr.splitlines()
                if line.startswith("telecine")
            ]
            assert [] == ours
