"""What `telecine plan` and `telecine probe` do with their options."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer
from google.protobuf import json_format

from telecine.v1 import media_pb2
from telecine_client.cli.assignments import assign
from telecine_client.cli.exits import UsageError
from telecine_client.cli.job_file import read_job_file
from telecine_client.cli.pairs import parse_pairs
from telecine_client.cli.preset_job import preset_job
from telecine_client.cli.talk import reporting
from telecine_local.offline import info_text, plan_text
from telecine_local.offline.looking import Unreadable, look_at
from telecine_local.offline.planning import Unplannable, plan_for
from telecine_process.logs import configure_logs
from telecine_worker import convert
from telecine_worker.ffmpeg.toolchain import Toolchain, ToolchainError, find
from telecine_worker.tasks import kinds


def plan(
    *,
    file: str | None,
    preset: str | None,
    inputs: Sequence[str],
    changes: Sequence[str],
    ffmpeg: Path | None,
    as_json: bool,
) -> None:
    """Print the plan of one job."""
    if (file is None) is (preset is None):
        raise UsageError("give a FILE or --preset NAME, one of the two")
    with reporting():
        spec = _of_preset(preset, inputs) if preset is not None else read_job_file(str(file)).spec
        assign(spec, changes)
    pairs = {} if preset is not None else parse_pairs(inputs, "--input", "NAME=FILE")
    with _reporting():
        planned = plan_for(spec, {name: Path(path) for name, path in pairs.items()}, _toolchain(ffmpeg))
    if as_json:
        typer.echo(json.dumps(plan_text.as_data(planned), separators=(",", ":")))
        return
    for line in plan_text.lines(planned):
        typer.echo(line)


def _of_preset(name: str, inputs: Sequence[str]) -> media_pb2.JobSpec:
    """Where its files would go makes no difference to the plan, so nobody has to say it."""
    spec = preset_job(name, inputs, None).spec
    if kinds.kind_of(spec.task) not in kinds.FILELESS:
        spec.output.uri = Path.cwd().as_uri()
    return spec


def probe(*, file: Path, ffmpeg: Path | None, as_json: bool) -> None:
    """Print what one file is."""
    with _reporting():
        [info] = look_at(_toolchain(ffmpeg), {"file": file}).values()
    if as_json:
        typer.echo(json.dumps(json_format.MessageToDict(convert.media_info(info)), separators=(",", ":")))
        return
    for line in info_text.lines(info):
        typer.echo(line)


def _toolchain(ffmpeg: Path | None) -> Toolchain:
    configure_logs("warning")
    return find(ffmpeg=ffmpeg)


@contextmanager
def _reporting() -> Iterator[None]:
    """What can be expected to go wrong becomes one line and exit code 2."""
    try:
        yield
    except (Unplannable, Unreadable, ToolchainError) as wrong:
        raise UsageError(str(wrong)) from wrong
