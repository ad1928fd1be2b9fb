"""Whether data has the shape of a message's proto JSON.

What is wrong is said by path and kind. Values are never quoted: a URL's query or a header may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from telecine_client.errors import Violation

NO_SUCH_FIELD = "there is no such field"
# Messages whose values may be secrets: those of their fields that do not fit are not quoted either.
SECRETIVE = frozenset({"telecine.v1.Input", "telecine.v1.Output"})

_KINDS = {
    type(None): "empty",
    list: "a list",
    tuple: "a list",
    dict: "an object",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
}
_SECONDS = re.compile(r"[+-]?\d+(\.\d*)?s")
_TEXT, _BOOL, _ENUM = FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_BOOL, FieldDescriptor.CPPTYPE_ENUM


def kind(data: object) -> str:
    """What *data* is, in JSON's words."""
    return _KINDS.get(type(data), "an object" if isinstance(data, Mapping) else "of no kind that JSON has")


def violations(data: Mapping[Any, Any], descriptor: Descriptor, at: str) -> Iterator[Violation]:
    """Of *data*, found *at* this path: keys that are no field of *descriptor*, values of another kind; at any depth."""
    fields = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    for key, value in data.items():
        path = f"{at}.{shown_key(key)}"
        field = fields.get(key)
        if field is None:
            yield Violation(field=path, description=NO_SUCH_FIELD)
        elif value is not None:
            yield from _field_violations(field, value, path)


def plain(data: Any) -> Any:
    """The same in dictionaries and lists, which is what protobuf's parser takes."""
    if isinstance(data, Mapping):
        return {key: plain(value) for key, value in data.items()}
    return [plain(value) for value in data] if isinstance(data, list | tuple) else data


def without_secrets(data: Mapping[str, Any], descriptor: Descriptor) -> Mapping[str, Any]:
    """What may be quoted of *data*, which has the right shape."""
    if descriptor.full_name in SECRETIVE:
        return {}
    fields = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    return {key: _open(fields[key], value) for key, value in data.items()}


def _open(field: FieldDescriptor, value: Any) -> Any:
    of = _message_type(field)
    if of is None or value is None:
        return value
    if _map_entry(field):
        return {key: without_secrets(part, of) for key, part in value.items()}
    return [without_secrets(part, of) for part in value] if field.is_repeated else without_secrets(value, of)


def _field_violations(field: FieldDescriptor, value: Any, at: str) -> Iterator[Violation]:
    if _map_entry(field):
        if not isinstance(value, Mapping):
            yield _wrong(at, value, "an object")
            return
        one = cast("Descriptor", field.message_type).fields_by_name["value"]
        for key, part in value.items():
            yield from _value_violations(one, part, f"{at}[{shown_key(key)}]")
    elif field.is_repeated:
        if not isinstance(value, list | tuple):
            yield _wrong(at, value, "a list")
            return
        for index, part in enumerate(value):
            yield from _value_violations(field, part, f"{at}[{index}]")
    else:
        yield from _value_violations(field, value, at)


def _value_violations(field: FieldDescriptor, value: Any, at: str) -> Iterator[Violation]:
    of = _message_type(field)
    if of is not None:
        if isinstance(value, Mapping):
            yield from violations(value, of, at)
        else:
            yield _wrong(at, value, "an object")
    elif field.cpp_type == _ENUM and isinstance(value, str):
        words = cast("EnumDescriptor", field.enum_type).values_by_name
        if value not in words:
            yield Violation(field=at, description=f"is none of {', '.join(list(words)[1:])}")
    elif field.cpp_type == _BOOL:
        if not isinstance(value, bool):
            yield _wrong(at, value, "true or false")
    elif field.cpp_type == _TEXT or field.message_type is not None:
        # Google's own messages here (Duration, Timestamp) are written as texts.
        yield from _text_violations(field, value, at)
    elif not isinstance(value, int | float | str) or isinstance(value, bool):
        yield _wrong(at, value, "a number")


def _message_type(field: FieldDescriptor) -> Descriptor | None:
    """Of a message, or of a map's values, that are written as objects."""
    of = field.message_type
    if of is not None and _map_entry(field):
        of = of.fields_by_name["value"].message_type
    return None if of is None or of.full_name.startswith("google.protobuf.") else of


def _text_violations(field: FieldDescriptor, value: Any, at: str) -> Iterator[Violation]:
    if not isinstance(value, str):
        yield _wrong(at, value, "seconds in a text, such as 3600s" if _is_duration(field) else "a text")
    elif _is_duration(field) and not _SECONDS.fullmatch(value):
        yield Violation(field=at, description="is no number of seconds with an s, such as 3600s or 0.5s")


def _is_duration(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Duration"


def _map_entry(field: FieldDescriptor) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def shown_key(key: object) -> str:
    """A key as far as it may be shown: whoever writes a header or a URL in its place writes a colon."""
    return str(key).partition(":")[0][:100]


def _wrong(at: str, value: object, wanted: str) -> Violation:
    return Violation(field=at, description=f"is {kind(value)}; it has to be {wanted}")
