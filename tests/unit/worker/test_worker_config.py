"""The worker's settings: what cannot be is refused with words, before anything starts."""

from __future__ import annotations

import inspect
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from telecine_process.addresses import Address
from telecine_process.durations import parse_duration
from telecine_worker import app, lease_stream
from telecine_worker.__main__ import serve
from telecine_worker.config import Config, ConfigError
from telecine_worker.sandbox.selection import Wish

KUBERNETES_PATIENCE = timedelta(seconds=30)


def config(**changes: Any) -> Config:
    fields: dict[str, Any] = {
        "schedulers": (Address(host="h", port=1),), "worker_id": "", "slots": 1, "queues": ("default",),
        "capabilities": (), "file_roots": (), "store_roots": (), "http_allow": (),
        "input_max_bytes": 1, "cache_bytes": 0, "scratch_reserve_bytes": 0,
        "output_max_bytes": 1, "sandbox": Wish.AUTO, "memory_max_bytes": 0, "cgroups": (),
        "work_dir": Path("/w"), "metrics_listen": Address(host="h", port=0), "ffmpeg": None,
        "ffprobe": None, "drain": timedelta(0),
    }  # fmt: skip
    return Config(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"queues": ("default", "a", "default")}, "TELECINE_QUEUES names default more than once"),
        ({"queues": tuple(f"q{number}" for number in range(65))}, "at most 64"),
        ({"capabilities": tuple(f"c{number}" for number in range(1025))}, "at most 1024"),
        ({"capabilities": ("a", "a")}, "TELECINE_CAPABILITIES names a more than once"),
        ({"queues": ()}, "at least one queue"),
        ({"slots": 4097}, "1 to 4096"),
        ({"worker_id": "a b"}, "TELECINE_WORKER_ID"),
        ({"input_max_bytes": 0}, "TELECINE_INPUT_MAX_BYTES is 0; it must be at least 1"),
        ({"output_max_bytes": 0}, "TELECINE_OUTPUT_MAX_BYTES is 0; it must be at least 1"),
        (
            {"memory_max_bytes": 1},
            "TELECINE_MEMORY_MAX_BYTES is 1; 0 .* or, without TELECINE_CGROUPS, 2147483648 and more",
        ),
        ({"memory_max_bytes": 1, "cgroups": (Path("/c"),)}, "or, with TELECINE_CGROUPS, 268435456 and more"),
    ],
)
def test_what_a_hello_could_not_say_is_refused(changes: dict[str, Any], words: str) -> None:
    """A scheduler would refuse the Hello, again and again."""
    with pytest.raises(ConfigError, match=words):
        config(**changes)


def test_as_much_as_a_hello_may_say_is_taken() -> None:
    """The limits themselves are allowed."""
    queues = tuple(f"q{number}" for number in range(64))
    assert queues == config(queues=queues).queues


@pytest.mark.parametrize("text", ["10.0.0.1/8", "localhost", "10.0.0.0/8;fd00::/8", "*", "::ffff:10.0.0.0/104"])
def test_networks_that_cannot_be_are_refused_at_the_start(text: str) -> None:
    """A worker with a wrong guard must not run: exit code 2, naming the setting and what would be right."""
    app = typer.Typer()
    app.command()(serve)
    ended = CliRunner().invoke(
        app, ["--check"], env={"TELECINE_HTTP_ALLOW": f"192.168.0.0/16,{text}", "COLUMNS": "200"}
    )
    assert 2 == ended.exit_code
    assert "TELECINE_HTTP_ALLOW" in ended.output
    assert "10.0.0.0/8" in ended.output


def test_a_stop_takes_less_than_kubernetes_waits() -> None:
    """With the default of TELECINE_DRAIN everything has ended within the 30 s before SIGKILL."""
    drain = parse_duration(inspect.signature(serve).parameters["drain"].default)
    assert drain + app.ENDING + timedelta(seconds=lease_stream.CLOSE_SECONDS) < KUBERNETES_PATIENCE
