"""What the commands do, once their options are read. Loaded when a command runs: gRPC comes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from telecine.v1 import media_pb2
from telecine_client.cli import rendering
from telecine_client.cli.connection import Connection
from telecine_client.cli.encoding import Encoding, transcode_spec
from telecine_client.cli.exits import ExitCode, UsageError
from telecine_client.cli.ffmpeg_line import parse_ffmpeg_line
from telecine_client.cli.following import Talk, reporting, talk
from telecine_client.cli.job_file import read_job_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """How a job that is made from options is handed over."""

    job_id: str | None
    priority: int | None
    queue: str | None
    labels: Sequence[str]
    """KEY=VALUE each."""
    overwrite: bool
    detach: bool


def submit(connection: Connection, file: str, job_id: str | None, *, wait: bool) -> None:
    """The job of a file; an option wins over the file, the file over the environment."""
    with reporting():
        asked = read_job_file(file)
    connection = replace(connection, tenant=connection.tenant or asked.tenant)

    async def command(here: Talk) -> ExitCode:
        job = await here.submit(asked.spec, job_id or asked.job_id)
        if wait and not connection.json_lines:
            here.answer(job, job.job_id)
        return await here.follow(job) if wait else here.answer(job, job.job_id)

    talk(connection, command)


def transcode(connection: Connection, source: str, target: str, encoding: Encoding, how: Submission) -> None:
    """One file to one file."""
    _run(connection, transcode_spec(source, target, encoding), how)


def ffmpeg(
    connection: Connection, args: Sequence[str], inputs: Sequence[str], outputs: Sequence[str], how: Submission
) -> None:
    """FFmpeg's own arguments. *inputs* are NAME=PATH each."""
    line = parse_ffmpeg_line(args, inputs=_pairs(inputs, "--input", "NAME=PATH"), outputs=outputs)
    spec = media_pb2.JobSpec(
        inputs={name: media_pb2.Input(uri=uri) for name, uri in line.inputs.items()},
        output=media_pb2.Output(uri=line.output_uri),
        task=media_pb2.Task(ffmpeg=media_pb2.FfmpegTask(args=line.args, outputs=line.outputs)),
    )
    _run(connection, spec, replace(how, overwrite=how.overwrite and line.overwrite))


def get(connection: Connection, job_id: str) -> None:
    """The job as it is now."""

    async def command(here: Talk) -> ExitCode:
        job = await here.client.get(job_id)
        return here.answer(job, "\n".join(rendering.describe(job)))

    talk(connection, command)


def watch(connection: Connection, job_id: str) -> None:
    """The job until it has ended."""

    async def command(here: Talk) -> ExitCode:
        return await here.follow(await here.client.get(job_id))

    talk(connection, command)


def cancel(connection: Connection, job_id: str, reason: str) -> None:
    """Ask for the job to end; does not wait for it."""

    async def command(here: Talk) -> ExitCode:
        job = await here.client.cancel(job_id, reason)
        return here.answer(job, f"{job.job_id} {rendering.summary(job)}")

    talk(connection, command)


def _run(connection: Connection, spec: media_pb2.JobSpec, how: Submission) -> None:
    _complete(spec, how)

    async def command(here: Talk) -> ExitCode:
        job = await here.submit(spec, how.job_id)
        return here.answer(job, job.job_id) if how.detach else await here.follow(job)

    talk(connection, command)


def _complete(spec: media_pb2.JobSpec, how: Submission) -> None:
    """Write into *spec* what *how* says about it."""
    if how.priority is not None:
        spec.priority = how.priority
    if how.queue is not None:
        spec.queue = how.queue
    if not how.overwrite:
        spec.output.if_exists = media_pb2.Output.IF_EXISTS_FAIL
    spec.labels.update(_pairs(how.labels, "--label", "KEY=VALUE"))


def _pairs(texts: Sequence[str], option: str, form: str) -> Mapping[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"{option} {text}: write {form}")
        pairs[name] = value
    return pairs
