"""docs/examples.md has an example of everything there is to ask for, by the contract, the SDK and the command line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from telecine.v1 import media_pb2
from telecine_client import AsyncClient, Client
from telecine_client.cli.app import build
from telecine_client.settings import SecurityOptions
from telecine_client.spec_options import SpecOptions

PAGE = (Path(__file__).parents[2] / "docs" / "examples.md").read_text()
CODE = "\n".join(re.findall(r"^```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
# Of telecine_local, which is for one machine.
NOT_CALLS = {"demo", "dev"}


def shown(word: str) -> bool:
    """Whether it stands in the code of the page, by itself."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", CODE) is not None


def fields(descriptor: Descriptor, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldDescriptor]]:
    """Those that a spec may have, at any depth, with the path to each."""
    for field in descriptor.fields:
        here = (*path, field.name)
        yield here, field
        of = field.message_type
        if of is not None and of.GetOptions().map_entry:
            of = of.fields_by_name["value"].message_type
        if of is not None and not of.full_name.startswith("google.protobuf."):
            yield from fields(of, here)


def test_every_field_of_a_spec_is_shown() -> None:
    """By its name in the contract; and every value of its enums but the one that stands for nothing said."""
    found = list(fields(media_pb2.JobSpec.DESCRIPTOR))
    assert 40 < len(found)
    names = {field.name for _, field in found}
    names |= {value.name for _, field in found if field.enum_type for value in field.enum_type.values if value.number}
    assert [] == sorted(name for name in names if not shown(name))


def test_fields_are_found_at_any_depth() -> None:
    """Those of messages within messages, and of maps."""
    names = {".".join(path) for path, _ in fields(media_pb2.JobSpec.DESCRIPTOR)}
    assert {"task.transcode.video.frame_rate", "task.transcode.filters.crop.left_px", "inputs.headers"} <= names


@pytest.mark.parametrize("client", [AsyncClient, Client])
def test_every_call_of_the_sdk_is_shown_with_its_options(client: type) -> None:
    """Each method, and each argument that has to be named."""
    calls = {name: call for name, call in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")}
    calls = {name: call for name, call in calls.items() if name != "close"}
    assert [] == [name for name in calls if f"client.{name}(" not in CODE]
    options = {
        parameter.name
        for call in (*calls.values(), client.__init__)
        for parameter in inspect.signature(call).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    if client is AsyncClient:
        options |= SecurityOptions.__annotations__.keys()
    options |= SpecOptions.__annotations__.keys()
    assert [] == sorted(name for name in options if f"{name}=" not in CODE)


def test_every_command_is_shown_with_its_options() -> None:
    """And the options of every command."""
    root = typer.main.get_command(build())
    commands = {name: command for name, command in root.commands.items() if name not in NOT_CALLS}  # type: ignore[attr-defined]
    assert [] == [name for name in commands if not re.search(rf"\btelecine\b[^\n|]* {name}\b", CODE)]
    options = {option for each in (root, *commands.values()) for param in each.params for option in param.opts[:1]}
    wanted = {option for option in options if option.startswith("--")} - {"--install-completion", "--show-completion"}
    assert [] == sorted(option for option in wanted if not shown(option))
