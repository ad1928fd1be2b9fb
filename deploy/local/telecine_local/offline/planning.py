"""What a worker here would do for a spec, without doing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from telecine.v1 import media_pb2
from telecine_local.offline.looking import look_at
from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.run import ALWAYS, PROGRESS
from telecine_worker.ffmpeg.toolchain import Toolchain
from telecine_worker.tasks import kinds
from telecine_worker.tasks.plan import Plan, Step


class Unplannable(Exception):
    """There is no plan; the message says why, and what would be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan, and what it was made for."""

    kind: str
    inputs: Mapping[str, MediaInfo]
    plan: Plan


def plan_for(spec: media_pb2.JobSpec, files: Mapping[str, Path], toolchain: Toolchain) -> Planned:
    """*files* stand for inputs of those names; the others have to be files of this machine.

    Raises Unplannable, and Unreadable for a file that is no media.
    """
    try:
        kinds.check_inputs(spec)
        kinds.check_output(spec)
        infos = look_at(toolchain, dict(_places(spec, files)))
        plan = kinds.plan(spec.task, infos, toolchain.encoders)
        plan.check_filters(toolchain.filters)
    except AttemptFailed as error:
        raise Unplannable(f"{error.failure.reason}: {error.failure.message}") from error
    return Planned(kind=str(spec.task.WhichOneof("kind")), inputs=infos, plan=plan)


def command_line(step: Step) -> list[str]:
    """What a worker runs, with {in:NAME} and {out:FILE} where it puts its own names."""
    return ["ffmpeg", *ALWAYS, *PROGRESS, *map(str, step.argv)]


def _places(spec: media_pb2.JobSpec, files: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    for name in sorted(files.keys() - spec.inputs.keys()):
        raise Unplannable(f"--input {name}: the spec has no such input; it has {', '.join(sorted(spec.inputs))}")
    for name, source in sorted(spec.inputs.items()):
        parts = urlsplit(source.uri)
        local = Path(unquote(parts.path)) if parts.scheme == "file" else None
        path = files.get(name, local)
        if path is None or not path.is_file():
            raise Unplannable(
                f"input {name} is no file of this machine, and what is planned depends on what it is: "
                f"give --input {name}=FILE with a file like it"
            )
        yield name, path
