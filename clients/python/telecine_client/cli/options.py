"""Options and arguments that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from telecine_client.cli import completion

JobIds = Annotated[
    list[str],
    typer.Argument(metavar="JOB...", help="Ids of jobs.", autocompletion=completion.any_jobs),
]
UnfinishedJobIds = Annotated[
    list[str],
    typer.Argument(metavar="JOB...", help="Ids of jobs.", autocompletion=completion.unfinished_jobs),
]
RetryableJobIds = Annotated[
    list[str],
    typer.Argument(metavar="JOB...", help="Ids of jobs.", autocompletion=completion.retryable_jobs),
]
FinishedJobIds = Annotated[
    list[str],
    typer.Argument(metavar="JOB...", help="Ids of jobs.", autocompletion=completion.finished_jobs),
]
JobIdOption = Annotated[
    str | None, typer.Option("--job-id", metavar="ID", help="An id of your own; submitting it twice is one job.")
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="NAME", help="Instead of a file: see telecine presets.", autocompletion=completion.presets
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Change a field, e.g. task.transcode.video.crf=20. May be repeated."
    ),
]
Priority = Annotated[int | None, typer.Option(metavar="0..100", help="Higher goes first; default 50.")]
Queue = Annotated[str | None, typer.Option(metavar="NAME", help="Which workers take it; default: default.")]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="May be repeated.")]
LabelFilter = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="KEY=VALUE", help="Only jobs with this label. May be repeated: all must match."),
]
Requirements = Annotated[
    list[str] | None,
    typer.Option("--require", metavar="NAME", help="What a worker must offer, e.g. gpu/nvidia. May be repeated."),
]
TimeLimits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="KIND=TIME",
        help="queue, total, soft, hard or stall, e.g. total=2h. May be repeated.",
    ),
]
NoOverwrite = Annotated[bool, typer.Option("--no-overwrite", help="Fail when an output exists already.")]
Detach = Annotated[bool, typer.Option("--detach", help="Print the id and do not wait.")]
Wide = Annotated[bool, typer.Option("--wide", help="Show more columns.")]
