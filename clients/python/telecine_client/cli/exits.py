"""How a command ends: its exit codes, and one clear line on standard error."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from telecine_client.errors import TelecineError
    from telecine_client.values import Job


class ExitCode(IntEnum):
    """Scripts rely on these. Of several jobs the first that did not go well decides."""

    SUCCEEDED = 0
    FAILED = 1
    """The job failed; or something is wrong with the scheduler or with this program."""
    REFUSED = 2
    """Wrong usage, or the scheduler refused the request."""
    CANCELLED = 3
    UNREACHABLE = 4
    NO_SUCH_JOB = 5
    NOT_YET = 6
    """The job did not end in the time that the command was given; it goes on."""
    INTERRUPTED = 130
    """Ctrl-C; the job goes on."""
    TERMINATED = 143
    """SIGTERM; the job goes on."""


class UsageError(Exception):
    """The command was given something that cannot work; the message says what would be right."""


def say(*lines: str) -> None:
    """Lines for a person, on standard error; the first is headed with our name."""
    for number, line in enumerate(lines):
        typer.echo(line if number else f"telecine: {line}", err=True)


def explain(error: TelecineError, about: str = "") -> ExitCode:
    """Say what is wrong (with *about*, where the command is about several), and give the exit code for it."""
    advice = [f"the scheduler asks to wait {error.retry_after.total_seconds():g} s"] if error.retry_after else []
    headline = _headline(error)
    unsaid = (at for at in error.violations if at.description not in headline)
    violations = [f"  {at.field or 'request'}: {at.description}" for at in unsaid]
    say(f"{about}: {headline}" if about and about not in headline else headline, *violations, *advice)
    return code_of(error)


def _headline(error: TelecineError) -> str:
    """The message, without the violations that follow it in lines of their own."""
    first = error.violations[0].field if error.violations else ""
    return error.message.partition(first)[0].rstrip(" :") or error.message if first else error.message


def code_of(error: TelecineError) -> ExitCode:
    """Whoever answered decides: nobody 4, no such job 5, a defect 1, else a refusal."""
    from telecine_client import errors  # noqa: PLC0415 - gRPC comes with it

    table: tuple[tuple[type[TelecineError] | tuple[type[TelecineError], ...], ExitCode], ...] = (
        ((errors.Unavailable, errors.DeadlineExceeded), ExitCode.UNREACHABLE),
        (errors.JobNotFound, ExitCode.NO_SUCH_JOB),
        (errors.InternalError, ExitCode.FAILED),
    )
    return next((code for kinds, code in table if isinstance(error, kinds)), ExitCode.REFUSED)


def code_of_job(job: Job) -> ExitCode:
    """For a final job."""
    codes = {"succeeded": ExitCode.SUCCEEDED, "cancelled": ExitCode.CANCELLED}
    return codes.get(job.state.value, ExitCode.FAILED)


def first_bad(codes: Iterable[ExitCode]) -> ExitCode:
    """Of several."""
    return next((code for code in codes if code is not ExitCode.SUCCEEDED), ExitCode.SUCCEEDED)
