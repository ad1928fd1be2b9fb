"""A plan in words, and as JSON."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any

from telecine_local.offline import info_text
from telecine_local.offline.planning import Planned, command_line
from telecine_worker.ffmpeg.expected_package import ExpectedPackage
from telecine_worker.tasks.plan import Script, Step

_WHITELISTS = frozenset({"-protocol_whitelist", "-format_whitelist", "-codec_whitelist"})


def lines(planned: Planned) -> Iterator[str]:
    """For people."""
    yield f"task {planned.kind}"
    for name, info in planned.inputs.items():
        yield f"input {name}"
        yield from (f"  {line}" for line in info_text.lines(info))
    for name, option in planned.plan.filters.items():
        yield f"filter {name}: for {option}"
    for script in planned.plan.scripts:
        yield f"script {script.file_name}, {len(script.lines)} lines"
    for number, step in enumerate(planned.plan.steps, 1):
        yield from _step_lines(step, f"step {number} of {len(planned.plan.steps)}: {step.phase.value}")
    for expected in planned.plan.artifacts:
        yield f"artifact {expected.path}: {_facts(expected, without=('path', 'file_name'))}"
    if planned.plan.package is not None:
        yield from _package_lines(planned.plan.package)


def _package_lines(package: ExpectedPackage) -> Iterator[str]:
    yield f"package {package.directory}: {_facts(package, without=('directory', 'tracks'))}"
    for track in package.tracks:
        yield f"  {track.name}: {_facts(track.stream, without=('path', 'file_name'))}"


def _step_lines(step: Step, head: str) -> Iterator[str]:
    yield head
    yield f"  {shlex.join(_shortened(command_line(step)))}"
    if step.otherwise is not None:
        yield from _step_lines(step.otherwise, "  otherwise:")


def _shortened(argv: Sequence[str]) -> list[str]:
    """Without what stands before every input and is the same everywhere."""
    before = ["", *argv]
    return ["..." if option in _WHITELISTS else word for option, word in zip(before, argv, strict=False)]


def as_data(planned: Planned) -> dict[str, Any]:
    """For programs; what is not said is what its default says."""
    return {
        "task": planned.kind,
        "inputs": {name: _data(info) for name, info in planned.inputs.items()},
        "filters": dict(planned.plan.filters),
        "scripts": [_script_data(script) for script in planned.plan.scripts],
        "steps": [_step_data(step) for step in planned.plan.steps],
        "artifacts": [_data(expected) for expected in planned.plan.artifacts],
        "package": _data(planned.plan.package),
    }


def _script_data(script: Script) -> dict[str, Any]:
    return {"file_name": script.file_name, "lines": ["".join(map(str, line)) for line in script.lines]}


def _step_data(step: Step) -> dict[str, Any]:
    otherwise = {} if step.otherwise is None else {"otherwise": _step_data(step.otherwise)}
    return {"phase": step.phase.value, "weight": step.weight, "argv": command_line(step)} | otherwise


def _facts(value: Any, *, without: tuple[str, ...] = ()) -> str:
    data = _data(value)
    return " ".join(f"{name}={_fact(each)}" for name, each in data.items() if name not in without)


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return f"({' '.join(f'{name}={_fact(each)}' for name, each in value.items())})"
    if isinstance(value, list):
        return f"[{', '.join(map(_fact, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _data(value: Any) -> Any:
    """Of our own values the fields that are not at their defaults; times in seconds, rates as fractions."""
    if dataclasses.is_dataclass(value):
        pairs = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {field.name: _data(each) for field, each in pairs if each not in (field.default, (), None)}
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Fraction):
        return str(value)
    return [_data(each) for each in value] if isinstance(value, list | tuple) else value
