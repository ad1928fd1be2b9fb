"""The file that `telecine submit` reads: {job_id?, tenant?, spec} in proto JSON or YAML."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from telecine.v1 import media_pb2
from telecine_client.cli.exits import UsageError
from telecine_client.cli.locations import to_uri
from telecine_client.errors import Violation, invalid
from telecine_client.spec import read_message

_NAMES = {"job_id": "job_id", "jobId": "job_id", "tenant": "tenant", "spec": "spec"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """What the file asks for; None where it leaves the choice to us."""

    job_id: str | None
    tenant: str | None
    spec: media_pb2.JobSpec


def read_job_file(name: str) -> JobFile:
    """Read the file, or standard input for "-". Raises UsageError or InvalidRequest, which say what is wrong where."""
    where = "standard input" if name == "-" else name
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as unreadable:
        raise UsageError(f"{where} cannot be read: {unreadable}") from unreadable
    return parse_job_file(text, where)


def parse_job_file(text: str, where: str) -> JobFile:
    """The parts of *text*; local paths in it are relative to the working directory."""
    data = _parse(text, where)
    if not isinstance(data, Mapping) or "spec" not in data:
        raise UsageError(f"{where} has no spec; it has to be {{job_id?, tenant?, spec}} in JSON or YAML")
    unknown = [str(key) for key in data if key not in _NAMES]
    if unknown:
        violations = (Violation(field=key, description="there is no such field") for key in unknown)
        raise invalid(f"{where}: unknown fields: {', '.join(unknown)}", *violations)
    named = {_NAMES[key]: value for key, value in data.items()}
    return JobFile(
        job_id=_text(named, "job_id", where),
        tenant=_text(named, "tenant", where),
        spec=_with_uris(read_message(named["spec"], media_pb2.JobSpec(), at="spec")),
    )


def _text(data: Mapping[str, Any], key: str, where: str) -> str | None:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{where}: {key} is {value!r}; it has to be a text (in YAML, put it in quotes)")
    return value or None


def _with_uris(spec: media_pb2.JobSpec) -> media_pb2.JobSpec:
    """The same spec, its local paths made absolute file:// URIs."""
    for source in spec.inputs.values():
        if source.uri:
            source.uri = to_uri(source.uri)
    if spec.output.uri:
        spec.output.uri = to_uri(spec.output.uri)
    return spec


def _parse(text: str, where: str) -> Any:
    """JSON when it begins like an object of JSON, YAML otherwise."""
    try:
        if text.lstrip().startswith("{"):
            return json.loads(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except json.JSONDecodeError as broken:
        raise UsageError(f"{where} is no JSON, line {broken.lineno} column {broken.colno}: {broken.msg}") from broken
    except yaml.YAMLError as broken:
        raise UsageError(f"{where} is no YAML: {' '.join(str(broken).split())}") from broken


class _Loader(yaml.SafeLoader):
    """Leaves times as they are written: proto JSON has them as texts."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
