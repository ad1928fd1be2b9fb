"""--set PATH=VALUE: one field of a spec, by its path in the contract."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any, cast

import yaml
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from telecine.v1 import media_pb2
from telecine_client.cli.exits import UsageError
from telecine_client.cli.locations import make_uris
from telecine_client.cli.yaml_loader import PlainLoader
from telecine_client.spec import read_message


def assign(spec: media_pb2.JobSpec, assignments: Sequence[str]) -> None:
    """Set one after the other: names of fields with dots between, an item of a list by its number from 0, an entry of a map by
    its key; the value in YAML, null for none. Local paths of inputs and the output become URIs.

    Raises UsageError for a path that leads nowhere, InvalidRequest for a value that does not fit.
    """
    for text in assignments:
        path, equals, value = text.partition("=")
        if not path or not equals:
            raise UsageError(f"--set {path}: write PATH=VALUE, for example task.transcode.video.crf=20")
        _Assignment(path, value).to(spec, path.split("."))
    make_uris(spec)


class _Assignment:
    def __init__(self, path: str, value: str) -> None:
        self._path = path
        try:
            self._value = yaml.load(value, Loader=PlainLoader)  # noqa: S506 - it is a SafeLoader
        except (yaml.YAMLError, ValueError):
            # Without the value, which may be a secret.
            raise self._wrong("the value is no YAML") from None

    def to(self, message: Message, parts: Sequence[str]) -> None:
        name, rest = parts[0], parts[1:]
        descriptor = cast("Descriptor", message.DESCRIPTOR)
        field = descriptor.fields_by_name.get(name)
        if field is None:
            listed = ", ".join(sorted(descriptor.fields_by_name))
            raise self._wrong(f"{descriptor.name} has no field {name}; it has {listed}")
        if not rest:
            self._set(message, name)
        elif field.message_type is None:
            raise self._wrong(f"{name} has no parts; set it as a whole")
        elif field.message_type.GetOptions().map_entry:
            self._to_entry(message, field, rest)
        elif field.is_repeated:
            self._to_item(getattr(message, name), name, rest)
        else:
            inner = getattr(message, name)
            inner.SetInParent()
            self.to(inner, rest)

    def _to_item(self, items: MutableSequence[Message], name: str, rest: Sequence[str]) -> None:
        if not rest[0].isdecimal() or int(rest[0]) >= len(items) or len(rest) < 2:
            raise self._wrong(f"{name} has {len(items)} items: write {name}.0.FIELD and the like")
        self.to(items[int(rest[0])], rest[1:])

    def _to_entry(self, message: Message, field: FieldDescriptor, rest: Sequence[str]) -> None:
        """Keys of plain values may have dots; those of messages are names of inputs, followed by a field."""
        entries = getattr(message, field.name)
        if cast("Descriptor", field.message_type).fields_by_name["value"].message_type is None:
            entries.pop(".".join(rest), None)
            self._merge(message, {field.name: {".".join(rest): self._value}}, parts=len(rest) + 1)
        elif len(rest) > 1 and rest[0] in entries:
            self.to(entries[rest[0]], rest[1:])
        else:
            raise self._wrong(f"{field.name} has {', '.join(sorted(entries)) or 'none'}: write {field.name}.NAME.FIELD")

    def _set(self, message: Message, name: str) -> None:
        message.ClearField(name)
        self._merge(message, {name: self._value}, parts=1)

    def _merge(self, message: Message, data: dict[str, Any], *, parts: int) -> None:
        """*parts*: how many of the path's are within *data*. Of several fields that exclude one another the last one stays, as
        everywhere in protobuf.
        """
        if self._value is not None:
            at = ".".join(self._path.split(".")[:-parts]) or "spec"
            message.MergeFrom(read_message(data, type(message)(), at=f"--set {at}"))

    def _wrong(self, text: str) -> UsageError:
        return UsageError(f"--set {self._path}: {text}")
