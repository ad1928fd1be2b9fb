"""Wrong usage, which is said before anything is sent."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from telecine_client.cli import main


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["list", "--limit", "-1"], "--limit"),
        (["list", "--limit", "0"], "--limit"),
        (["list", "--limit", "many"], "--limit"),
        (["list", "--state", "sleeping"], "there is no such state; there are waiting, queued"),
        (["list", "--state", "unknown"], "there is no such state"),
        (["list", "--label", "novalue"], "write KEY=VALUE"),
        (["list", "--label", "=v"], "write KEY=VALUE"),
        (["list", "--label", "a=x", "--label", "a=y"], "--label a has two values"),
        (["submit", "a.yaml", "--label", "a=x", "--label", "a=y"], "--label a has two values"),
        (["transcode", "a.mp4", "b.mp4", "--limit", "total=1h", "--limit", "total=2h"], "--limit total has two values"),
        (["list", "--json=true"], "--json takes no value; write --json alone"),
        (["transcode", "a.mp4", "ftp://host/b.mp4"], "files go to a local path or to file://\n"),
        (["list", "--tenant", "\udcff"], "'\\udcff' cannot be written in utf-8"),
        (["retry", "a", "--generation", "-1"], "--generation"),
        (["retry", "a", "b", "--generation", "1"], "for one job"),
        (["watch"], "name the jobs to watch"),
        (["watch", "a", "--all"], "name the jobs to watch"),
        (["watch", "--label", "a=b", "--all"], "name the jobs to watch"),
        (["wait", "a", "--timeout", "soon"], "30s"),
        (["wait"], "JOB"),
        (["delete"], "JOB"),
        (["submit"], "FILE"),
        (["submit", "a.yaml", "b.yaml", "--job-id", "x"], "for one job"),
        (["thumbnails", "a.mp4", "t/%d.jpg"], "one of --count"),
        (["thumbnails", "a.mp4", "t/%d.jpg", "--count", "99999999999"], "out of range"),
        (["transcode", "a.mp4", "b.mp4", "--limit", "never=1h"], "no such limit"),
        (["transcode", "a.mp4", "b.mp4", "--priority", "99999999999"], "out of range"),
        (["list", "--request-timeout", "0s"], "positive"),
        (["list", "--cert-file", "/nonexistent/cert.pem"], "key_file"),
        (["list", "--ca-file", "/nonexistent/ca.pem"], "cannot be read"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_would_be_right(
    args: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error alone."""
    monkeypatch.setattr(sys, "argv", ["telecine", *args])
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    assert (2, "") == (left.value.code, out)
    assert said in err


def test_dev_takes_its_file_roots_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As the worker does, with colons between; one that is not there is said by itself."""
    monkeypatch.setenv("TELECINE_FILE_ROOTS", f"{tmp_path}:{tmp_path}/none")
    monkeypatch.setattr(sys, "argv", ["telecine", "dev"])
    with pytest.raises(SystemExit) as left:
        main()
    assert (2, True) == (left.value.code, f"--file-root {tmp_path}/none: has to be" in capsys.readouterr().err)


@pytest.mark.parametrize("command", ["list", "ffmpeg", "wait", "stats"])
def test_the_help_of_a_command_names_the_options_of_all(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And where they are explained."""
    monkeypatch.setattr(sys, "argv", ["telecine", command, "--help"])
    with pytest.raises(SystemExit) as left:
        main()
    said = " ".join(capsys.readouterr().out.split())
    assert (0, True) == (left.value.code, "see telecine --help: --address, --tenant, --request-timeout," in said)


def test_jobs_of_two_tenants_are_not_submitted_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless one is named by hand."""
    monkeypatch.setattr(sys, "argv", ["telecine", "submit", "-"])
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"tenant": "x", "spec": {}}\n{"tenant": "y", "spec": {}}'))
    with pytest.raises(SystemExit) as left:
        main()
    assert (2, True) == (left.value.code, "different tenants (x, y)" in capsys.readouterr().err)


def test_a_token_is_not_sent_where_others_can_read_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor shown while that is said; there is no option that takes the token itself."""
    monkeypatch.setenv("TELECINE_TOKEN", "s3cret")
    monkeypatch.setattr(sys, "argv", ["telecine", "list", "--address", "media.example.com:443"])
    with pytest.raises(SystemExit) as left:
        main()
    err = capsys.readouterr().err
    assert (2, True, False) == (left.value.code, "without TLS" in err, "s3cret" in err)
