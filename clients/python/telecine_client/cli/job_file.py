"""The files that `telecine submit` reads: {job_id?, tenant?, spec} in proto JSON or YAML, one or several in a file."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from telecine.v1 import media_pb2
from telecine_client.cli.exits import UsageError
from telecine_client.cli.locations import make_uris
from telecine_client.cli.yaml_loader import PlainLoader
from telecine_client.errors import Violation, invalid
from telecine_client.spec import read_message
from telecine_client.spec_shape import kind, shown_key

_FORM = "{job_id?, tenant?, spec} in JSON or YAML"
_QUOTED = re.compile(r"""(['"])(.*?)\1""")
_NAMES = {"job_id": "job_id", "jobId": "job_id", "tenant": "tenant", "spec": "spec"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """What is asked for in one place; None where it leaves the choice to us."""

    where: str
    """For people: the file, and which of its jobs."""
    job_id: str | None
    tenant: str | None
    spec: media_pb2.JobSpec


def read_job_files(name: str) -> tuple[JobFile, ...]:
    """The jobs of a file, or of standard input for "-". Raises UsageError or InvalidRequest, which say what is wrong where."""
    return parse_job_files(*_read(name))


def read_job_file(name: str) -> JobFile:
    """The only job of a file, or of standard input."""
    return parse_job_file(*_read(name))


def parse_job_files(text: str, where: str) -> tuple[JobFile, ...]:
    """The jobs in *text*, at least one; local paths in it are relative to the working directory.

    Several are JSON objects one after the other (JSON lines), documents of YAML, or a list of either.
    """
    found = list(_parse(text, where))
    jobs = found[0] if len(found) == 1 and isinstance(found[0], list) else found
    if not jobs:
        raise UsageError(f"{where} has no job; it has to be {_FORM}")
    if len(jobs) == 1:
        return (_job(jobs[0], where),)
    return tuple(_job(data, f"{where}, job {number}") for number, data in enumerate(jobs, 1))


def parse_job_file(text: str, where: str) -> JobFile:
    """The job in *text*. Raises UsageError where there are several."""
    first, *more = parse_job_files(text, where)
    if more:
        raise UsageError(f"{where} has {1 + len(more)} jobs; only one is possible here")
    return first


def _read(name: str) -> tuple[str, str]:
    """What stands there, and what the place is called."""
    where = "standard input" if name == "-" else name
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8"), where
    except (OSError, UnicodeDecodeError) as unreadable:
        raise UsageError(f"{where} cannot be read: {unreadable}") from unreadable


def _job(data: object, where: str) -> JobFile:
    if not isinstance(data, Mapping) or "spec" not in data:
        raise UsageError(f"{where} has no spec; it has to be {_FORM}")
    unknown = [shown_key(key) for key in data if key not in _NAMES]
    if unknown:
        violations = (Violation(field=key, description="there is no such field") for key in unknown)
        raise invalid(f"{where}: unknown fields: {', '.join(unknown)}", *violations)
    named = {_NAMES[key]: value for key, value in data.items()}
    spec = read_message(named["spec"], media_pb2.JobSpec(), at="spec")
    make_uris(spec)
    return JobFile(
        where=where,
        job_id=_text(named, "job_id", where),
        tenant=_text(named, "tenant", where),
        spec=spec,
    )


def _text(data: Mapping[str, Any], key: str, where: str) -> str | None:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{where}: {key} is {kind(value)}; it has to be a text (in YAML, put it in quotes)")
    return value or None


def _parse(text: str, where: str) -> Iterator[Any]:
    """JSON when it begins like JSON, YAML otherwise."""
    try:
        if text.lstrip().startswith(("{", "[")):
            yield from _parse_json(text)
        else:
            yield from yaml.load_all(text, Loader=PlainLoader)
    except json.JSONDecodeError as broken:
        raise UsageError(f"{where} is no JSON, line {broken.lineno} column {broken.colno}: {broken.msg}") from broken
    except yaml.YAMLError as broken:
        raise UsageError(f"{where} is no YAML{_yaml_trouble(broken)}") from broken
    except (ValueError, LookupError):
        raise UsageError(
            f"{where} cannot be read: it has a number that is too long, or a tag that does not fit"
        ) from None
    except RecursionError:
        raise UsageError(f"{where} cannot be read: it is nested too deeply") from None


def _yaml_trouble(broken: yaml.YAMLError) -> str:
    """Where it is and what, without the text that stands there: that may be a header, or a URL with a secret."""
    mark, problem = getattr(broken, "problem_mark", None), getattr(broken, "problem", None)
    where = f", line {mark.line + 1} column {mark.column + 1}" if mark else ""
    return f"{where}: {_QUOTED.sub(_harmless, problem)}" if problem else ": it has a character that YAML does not allow"


def _harmless(quoted: re.Match[str]) -> str:
    """Single signs, and the parser's own words for things (<block end>), may be quoted."""
    return quoted[0] if len(quoted[2]) <= 1 or quoted[2].startswith("<") else "..."


def _parse_json(text: str) -> Iterator[Any]:
    """The values that stand one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        yield value
