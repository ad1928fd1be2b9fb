"""docs/examples.md has an example of everything there is to ask for, by the contract, the SDK and the command line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from telecine.v1 import media_pb2
from telecine_client import AsyncClient, Client
from telecine_client.cli.app import build
from telecine_client.settings import SecurityOptions
from telecine_client.spec_options import SpecOptions
from telecine_scheduler.rpc.validation import unsupported

PAGE = (Path(__file__).parents[2] / "docs" / "examples.md").read_text()
CODE = "\n".join(re.findall(r"^```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
# Of telecine_local, which is for one machine.
NOT_CALLS = {"dev", "demo"}


def shown(word: str) -> bool:
    """Whether it stands in the code of the page, by itself."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", CODE) is not None


def fields(descriptor: Descriptor, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldDescriptor]]:
    """Those that a spec may have here and now, at any depth, with the path to each."""
    for field in descriptor.fields:
        here = (*path, field.name)
        if unsupported(spec_with(here)):
            continue
        yield here, field
        of = field.message_type
        if of is not None and of.GetOptions().map_entry:
            of = of.fields_by_name["value"].message_type
        if of is not None and not of.full_name.startswith("google.protobuf."):
            yield from fields(of, here)


def spec_with(path: tuple[str, ...]) -> media_pb2.JobSpec:
    """A spec in which this field is set."""
    spec = media_pb2.JobSpec()
    spec.task.probe.SetInParent()
    message: Message = spec
    for name in path:
        field = message.DESCRIPTOR.fields_by_name[name]
        value = getattr(message, name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            # Of a map the name of an entry stands for all of it.
            message = value["a"] if field.message_type.fields_by_name["value"].message_type else message
        elif field.is_repeated:
            message = value.add() if field.message_type is not None else message
        elif field.message_type is not None:
            message = value
            message.SetInParent()
        else:
            setattr(message, name, "a" if field.cpp_type == FieldDescriptor.CPPTYPE_STRING else 1)
    return spec


def test_every_field_of_a_spec_is_shown() -> None:
    """By its name in the contract; and every value of its enums but the one that stands for nothing said."""
    found = list(fields(media_pb2.JobSpec.DESCRIPTOR))
    assert 40 < len(found)
    names = {field.name for _, field in found}
    names |= {value.name for _, field in found if field.enum_type for value in field.enum_type.values if value.number}
    assert [] == sorted(name for name in names if not shown(name))


def test_what_is_not_there_yet_is_not_asked_for() -> None:
    """The contract has more kinds of tasks and options than this version carries out."""
    names = {".".join(path) for path, _ in fields(media_pb2.JobSpec.DESCRIPTOR)}
    assert {"task.transcode.video.frame_rate", "task.probe.detect_black", "inputs.headers"} <= names
    assert not {"task.packaging", "task.transcode.filters", "task.transcode.video.tone_map_to_sdr"} & names


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
