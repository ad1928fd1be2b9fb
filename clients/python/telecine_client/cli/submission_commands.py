"""The commands that submit jobs, and their options; what they do is in submissions.py."""

from __future__ import annotations

from typing import Annotated

import typer

from telecine_client.cli.exits import UsageError
from telecine_client.cli.options import (
    Changes,
    Detach,
    JobIdOption,
    Labels,
    NoOverwrite,
    PresetName,
    Priority,
    Queue,
    Requirements,
    TimeLimits,
)
from telecine_client.cli.pairs import parse_labels
from telecine_client.cli.quantities import parse_bitrate, parse_duration, parse_offset

Source = Annotated[str, typer.Argument(metavar="INPUT", help="A path or URI.")]
Height = Annotated[int | None, typer.Option(metavar="PX", help="The width follows when only this is given.")]
Width = Annotated[int | None, typer.Option(metavar="PX", help="The height follows when only this is given.")]


def submit(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE...]",
            help="{job_id?, tenant?, spec} in JSON or YAML, one or several in a file; - is stdin.",
        ),
    ] = None,
    preset: PresetName = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="[NAME=]PATH", help="Of the preset: a path or URI. May be repeated."),
    ] = None,
    output: Annotated[
        str | None, typer.Option(metavar="DIR", help="Of the preset: the directory or URI its files go to.")
    ] = None,
    change: Changes = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the jobs to their end.")] = False,
    batch: Annotated[bool, typer.Option("--batch", help="All of them or none, at most 500.")] = False,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Check everything and say whether a worker could run it.")
    ] = False,
    job_id: JobIdOption = None,
    label: Labels = None,
) -> None:
    """Submit the jobs that files or a preset describe, and print their ids."""
    from telecine_client.cli import submissions  # noqa: PLC0415 - gRPC comes with it

    how = submissions.Handover(
        labels=parse_labels(label or ()), batch=batch, validate_only=validate_only, wait=wait and not validate_only
    )
    if preset is None and (source or output):
        raise UsageError("--input and --output are of a preset: give --preset NAME, or write them into the file")
    if (preset is None) is not bool(files):
        raise UsageError("give FILE... or --preset NAME, one of the two")
    asked = submissions.Asked(
        files=files or (), preset=preset, inputs=source or (), output=output, changes=change or (), job_id=job_id
    )
    submissions.submit(context.obj, asked, how)


def transcode(
    context: typer.Context,
    source: Source,
    target: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="A path or URI; the container follows the extension.")
    ],
    height: Height = None,
    width: Width = None,
    crf: Annotated[int | None, typer.Option(metavar="0..63", help="Constant quality; lower is better.")] = None,
    bitrate: Annotated[str | None, typer.Option(metavar="RATE", help="Of the video, e.g. 2.5M.")] = None,
    codec: Annotated[str | None, typer.Option(help="h264, h265, vp9, av1, copy, or none for no video.")] = None,
    preset: Annotated[str | None, typer.Option(help="The encoder's speed, e.g. veryfast.")] = None,
    two_pass: Annotated[bool, typer.Option("--two-pass", help="Read twice to meet --bitrate better.")] = False,
    audio_codec: Annotated[
        str | None, typer.Option(help="aac, opus, mp3, flac, ac3, pcm_s16le, copy, or none for no sound.")
    ] = None,
    audio_bitrate: Annotated[str | None, typer.Option(metavar="RATE", help="E.g. 128k.")] = None,
    start: Annotated[str | None, typer.Option(metavar="TIME", help="Leave out what is before, e.g. 1:30.")] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Leave out what is after.")] = None,
    priority: Priority = None,
    queue: Queue = None,
    require: Requirements = None,
    limit: TimeLimits = None,
    job_id: JobIdOption = None,
    label: Labels = None,
    no_overwrite: NoOverwrite = False,
    detach: Detach = False,
) -> None:
    """Encode one file to another and follow the job to its end."""
    from telecine_client.cli import encoding, submissions  # noqa: PLC0415

    chosen = encoding.Encoding(
        height_px=height,
        width_px=width,
        crf=crf,
        bitrate_bps=parse_bitrate(bitrate) if bitrate else None,
        codec=codec,
        preset=preset,
        two_pass=two_pass,
        audio_codec=audio_codec,
        audio_bitrate_bps=parse_bitrate(audio_bitrate) if audio_bitrate else None,
        start=parse_offset(start) if start else None,
        end=parse_offset(end) if end else None,
    )
    how = submissions.Submission(
        job_id=job_id, priority=priority, queue=queue, labels=label or (), requirements=require or (),
        limits=limit or (), overwrite=not no_overwrite, detach=detach,
    )  # fmt: skip
    submissions.transcode(context.obj, source, target, chosen, how)


def thumbnails(
    context: typer.Context,
    source: Source,
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Where they go, e.g. thumbs/%03d.jpg; jpg, png or webp.")
    ],
    count: Annotated[int | None, typer.Option(metavar="N", help="So many, evenly spread.")] = None,
    every: Annotated[str | None, typer.Option(metavar="TIME", help="One each so often, e.g. 10s.")] = None,
    at: Annotated[list[str] | None, typer.Option(metavar="TIME", help="One there, e.g. 1:30. May be repeated.")] = None,
    best: Annotated[int | None, typer.Option(metavar="N", help="The most representative ones.")] = None,
    width: Width = None,
    priority: Priority = None,
    queue: Queue = None,
    require: Requirements = None,
    limit: TimeLimits = None,
    job_id: JobIdOption = None,
    label: Labels = None,
    no_overwrite: NoOverwrite = False,
    detach: Detach = False,
) -> None:
    """Take pictures of a film and follow the job to its end."""
    from telecine_client.cli import pictures, submissions  # noqa: PLC0415

    chosen = pictures.Pictures(
        count=count,
        every=parse_duration(every) if every else None,
        offsets=[parse_offset(text) for text in at or ()],
        best=best,
        width_px=width,
    )
    how = submissions.Submission(
        job_id=job_id, priority=priority, queue=queue, labels=label or (), requirements=require or (),
        limits=limit or (), overwrite=not no_overwrite, detach=detach,
    )  # fmt: skip
    submissions.thumbnails(context.obj, source, pattern, chosen, how)


def ffmpeg(
    context: typer.Context,
    args: Annotated[
        list[str], typer.Argument(metavar="-- ARGS...", help="After --: what would stand after ffmpeg, paths included.")
    ],
    source: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=PATH", help="A file that ARGS call NAME, or {in:NAME}. May be repeated."),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="A file that ARGS write, where that is not plain. May be repeated."),
    ] = None,
    priority: Priority = None,
    queue: Queue = None,
    require: Requirements = None,
    limit: TimeLimits = None,
    job_id: JobIdOption = None,
    label: Labels = None,
    no_overwrite: NoOverwrite = False,
    detach: Detach = False,
) -> None:
    """Run an FFmpeg command line as a job.

    For example: telecine ffmpeg -- -i film.mkv -vf scale=640:-2 small.mp4
    """
    from telecine_client.cli import submissions  # noqa: PLC0415

    how = submissions.Submission(
        job_id=job_id, priority=priority, queue=queue, labels=label or (), requirements=require or (),
        limits=limit or (), overwrite=not no_overwrite, detach=detach,
    )  # fmt: skip
    submissions.ffmpeg(context.obj, args, source or (), output or (), how)
