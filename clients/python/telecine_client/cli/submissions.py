"""What the commands do that submit jobs, once their options are read. Loaded when a command runs: gRPC comes with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from telecine.v1 import media_pb2
from telecine_client.cli.assignments import assign
from telecine_client.cli.connection import Connection
from telecine_client.cli.encoding import Encoding, transcode_spec
from telecine_client.cli.exits import ExitCode, UsageError, explain, first_bad
from telecine_client.cli.ffmpeg_line import parse_ffmpeg_line
from telecine_client.cli.following import follow, follow_many
from telecine_client.cli.job_file import JobFile, read_job_file, read_job_files
from telecine_client.cli.pairs import parse_labels, parse_limits, parse_pairs
from telecine_client.cli.pictures import Pictures, thumbnails_spec
from telecine_client.cli.preset_job import preset_job
from telecine_client.cli.talk import Talk, reporting, talk
from telecine_client.cli.text import plain
from telecine_client.errors import SubmitManyError, TelecineError
from telecine_client.job_id import new_job_id
from telecine_client.values import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """How a job that is made from options is handed over."""

    job_id: str | None
    priority: int | None
    queue: str | None
    labels: Sequence[str]
    """KEY=VALUE each."""
    requirements: Sequence[str]
    limits: Sequence[str]
    """KIND=TIME each."""
    overwrite: bool
    detach: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """How the jobs of files are handed over."""

    labels: Mapping[str, str]
    """Added to those of every job."""
    batch: bool
    validate_only: bool
    wait: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to submit: the jobs of files, or one of a preset."""

    files: Sequence[str]
    preset: str | None
    inputs: Sequence[str]
    """[NAME=]PATH each."""
    output: str | None
    changes: Sequence[str]
    """PATH=VALUE each, in every job."""
    job_id: str | None


def submit(connection: Connection, what: Asked, how: Handover) -> None:
    """The jobs of files or a preset; an option wins over the file, the file over the environment."""
    asked = _read(what)
    for each in asked:
        each.spec.labels.update(how.labels)
    connection = replace(connection, tenant=connection.tenant or _tenant(asked))

    async def command(here: Talk) -> ExitCode:
        if how.validate_only:
            return await _validate(here, asked, batch=how.batch)
        here.job_ids = [each.job_id or new_job_id() for each in asked]
        jobs, code = await _hand_over(
            here, [each.spec for each in asked], [each.where for each in asked], batch=how.batch
        )
        # Whoever reads JSON and waits gets each job's first snapshot from the watch.
        if not (how.wait and connection.json_lines):
            for job in jobs:
                here.answer(job, job.job_id)
        return await _wait(here, jobs, code) if how.wait else code

    talk(connection, command)


def transcode(connection: Connection, source: str, target: str, encoding: Encoding, how: Submission) -> None:
    """One file to one file."""
    with _in_range():
        spec = transcode_spec(source, target, encoding)
    _run(connection, spec, how)


def thumbnails(connection: Connection, source: str, pattern: str, pictures: Pictures, how: Submission) -> None:
    """One file to several pictures."""
    with _in_range():
        spec = thumbnails_spec(source, pattern, pictures)
    _run(connection, spec, how)


def ffmpeg(
    connection: Connection, args: Sequence[str], inputs: Sequence[str], outputs: Sequence[str], how: Submission
) -> None:
    """FFmpeg's own arguments. *inputs* are NAME=PATH each."""
    line = parse_ffmpeg_line(args, inputs=parse_pairs(inputs, "--input", "NAME=PATH"), outputs=outputs)
    spec = media_pb2.JobSpec(
        inputs={name: media_pb2.Input(uri=uri) for name, uri in line.inputs.items()},
        output=media_pb2.Output(uri=line.output_uri),
        task=media_pb2.Task(ffmpeg=media_pb2.FfmpegTask(args=line.args, outputs=line.outputs)),
    )
    _run(connection, spec, replace(how, overwrite=how.overwrite and line.overwrite))


def _read(what: Asked) -> Sequence[JobFile]:
    with reporting():
        asked = _described(what)
        for each in asked:
            assign(each.spec, what.changes)
        return asked


def _described(what: Asked) -> Sequence[JobFile]:
    if what.preset is not None:
        return [replace(preset_job(what.preset, what.inputs, what.output), job_id=what.job_id)]
    if what.job_id is None:
        return [job for file in what.files for job in read_job_files(file)]
    if len(what.files) > 1:
        raise UsageError("--job-id is for one job; write the ids of several into their files")
    return [replace(read_job_file(what.files[0]), job_id=what.job_id)]


def _tenant(asked: Sequence[JobFile]) -> str | None:
    """The one that the files name."""
    tenants = {each.tenant for each in asked}
    if len(tenants) > 1:
        named = ", ".join(sorted(tenant or "none" for tenant in tenants))
        raise UsageError(f"the jobs are of different tenants ({named}); submit each tenant's by themselves")
    return tenants.pop()


async def _validate(here: Talk, asked: Sequence[JobFile], *, batch: bool) -> ExitCode:
    """Say of each job whether it would be taken, and whether a worker could run it now."""
    if batch:
        items = [(each.job_id or new_job_id(), each.spec) for each in asked]
        for job, each in zip(await here.client.submit_batch(items, validate_only=True), asked, strict=True):
            here.answer(job, _valid(job, each.job_id or each.where))
        return ExitCode.SUCCEEDED
    codes = []
    for each in asked:
        try:
            job = await here.client.submit(each.spec, job_id=each.job_id, validate_only=True)
            here.answer(job, _valid(job, each.job_id or each.where))
            codes.append(ExitCode.SUCCEEDED)
        except TelecineError as error:
            codes.append(explain(error, about=each.where if len(asked) > 1 else ""))
    return first_bad(codes)


def _valid(job: Job, name: str) -> str:
    return f"{name} is valid" + (f", but blocked: {plain(job.blocked_reason)}" if job.blocked_reason else "")


async def _hand_over(
    here: Talk, specs: Sequence[media_pb2.JobSpec], names: Sequence[str], *, batch: bool
) -> tuple[Sequence[Job], ExitCode]:
    """Submit each job under its id in here.job_ids; what was not taken is said with its name."""
    here.submitted = False
    items = list(zip(here.job_ids, specs, strict=True))
    jobs: Sequence[Job]
    code = ExitCode.SUCCEEDED
    if batch:
        jobs = await here.client.submit_batch(items)
    elif len(items) == 1:
        jobs = [await here.client.submit(specs[0], job_id=here.job_ids[0])]
    else:
        jobs, code = await _submit_many(here, items, names)
    here.submitted = True
    here.job_ids = [job.job_id for job in jobs]
    return jobs, code


async def _submit_many(
    here: Talk, items: Sequence[tuple[str, media_pb2.JobSpec]], names: Sequence[str]
) -> tuple[Sequence[Job], ExitCode]:
    try:
        return await here.client.submit_many(items), ExitCode.SUCCEEDED
    except SubmitManyError as failed:
        codes = [
            explain(result, about=name)
            for result, name in zip(failed.results, names, strict=True)
            if isinstance(result, TelecineError)
        ]
        return [result for result in failed.results if isinstance(result, Job)], first_bad(codes)


async def _wait(here: Talk, jobs: Sequence[Job], code: ExitCode) -> ExitCode:
    """Follow the jobs that were taken; one that was not decides over the exit code."""
    if len(jobs) == 1:
        return first_bad([code, await follow(here, jobs[0])])
    return first_bad([code, await follow_many(here, [job.job_id for job in jobs])] if jobs else [code])


def _run(connection: Connection, spec: media_pb2.JobSpec, how: Submission) -> None:
    with _in_range():
        _complete(spec, how)

    async def command(here: Talk) -> ExitCode:
        here.job_ids, here.submitted = [how.job_id or new_job_id()], False
        job = await here.client.submit(spec, job_id=here.job_ids[0])
        here.submitted = True
        if not how.detach:
            return await follow(here, job)
        here.answer(job, job.job_id)
        return ExitCode.SUCCEEDED

    talk(connection, command)


@contextmanager
def _in_range() -> Iterator[None]:
    """A number that the contract has no room for is wrong usage; which ones make sense is for the scheduler to say."""
    try:
        yield
    except ValueError as wrong:
        raise UsageError(f"a number is out of range: {wrong}") from wrong


def _complete(spec: media_pb2.JobSpec, how: Submission) -> None:
    """Write into *spec* what *how* says about it."""
    if how.priority is not None:
        spec.priority = how.priority
    if how.queue is not None:
        spec.queue = how.queue
    if not how.overwrite:
        spec.output.if_exists = media_pb2.Output.IF_EXISTS_FAIL
    spec.labels.update(parse_labels(how.labels))
    spec.requirements.extend(how.requirements)
    for name, limit in parse_limits(how.limits).items():
        getattr(spec.limits, name).FromTimedelta(limit)
