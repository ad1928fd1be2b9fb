"""A job that is made from a preset by options."""

from __future__ import annotations

from collections.abc import Sequence

from telecine.v1 import media_pb2
from telecine_client import presets
from telecine_client.cli.exits import UsageError
from telecine_client.cli.job_file import JobFile
from telecine_client.cli.locations import to_uri


def preset_job(name: str, inputs: Sequence[str], output: str | None) -> JobFile:
    """The job of the preset *name*; *inputs* are [NAME=]PATH each. Raises UsageError."""
    try:
        spec = presets.load(name, inputs=_inputs(name, inputs), output=None if output is None else to_uri(output))
    except (LookupError, ValueError) as wrong:
        raise UsageError(str(wrong)) from wrong
    return JobFile(where=f"preset {name}", job_id=None, tenant=None, spec=spec)


def _inputs(preset: str, texts: Sequence[str]) -> dict[str, str | media_pb2.Input]:
    """By name. A preset with one input needs no name for it; what stands before a = and is no name belongs to a path."""
    wanted = presets.input_names(preset)
    found: dict[str, str | media_pb2.Input] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or name not in wanted:
            if len(wanted) > 1:
                raise UsageError(
                    f"--input {name}: write NAME=PATH; the preset {preset} has the inputs {', '.join(wanted)}"
                )
            name, path = wanted[0], text
        if name in found:
            raise UsageError(f"--input {name} is given twice; give it once")
        found[name] = to_uri(path)
    return found
