"""Walks through messages, for what the rules of the protos do not see: too many items, unknown fields, impossible times."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from telecine_scheduler.domain.errors import Violation

_TIMES = (Duration, Timestamp)
_TIME_NAMES = frozenset(each.DESCRIPTOR.full_name for each in _TIMES)
_RULES = "buf.validate.field"


def overfull(path: str, message: Message) -> Iterator[Violation]:
    """Lists and maps with more than their rule allows. They are not looked into: a small message may hold 30,000 items."""
    for field, value in message.ListFields():
        name = f"{path}.{field.name}" if path else field.name
        most = _most(field)
        if most is not None and len(value) > most:
            yield Violation(field=name, description=f"has {len(value)} items; at most {most} are allowed")
        else:
            for place, child in _messages(name, field, value):
                yield from overfull(place, child)


@functools.cache
def _most(field: FieldDescriptor) -> int | None:
    """How many items the rules of a field allow; None where they do not say."""
    for option, rules in field.GetOptions().ListFields():
        if option.full_name == _RULES:
            return rules.repeated.max_items or rules.map.max_pairs or None
    return None


def has_unknown_fields(message: Message) -> bool:
    """Whether there are any, at whatever depth: a quick look before `unknown_fields`."""
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()
    return copy.ByteSize() != message.ByteSize()


def unknown_numbers(message: Message) -> Iterator[int]:
    """Of the fields of the message itself that the contract does not have."""
    # The stubs do not know that it can be iterated.
    yield from (unknown.field_number for unknown in cast("Iterable[Any]", UnknownFieldSet(message)))


def unknown_fields(path: str, message: Message) -> Iterator[Violation]:
    """The first unknown field of each message that has one."""
    for number in itertools.islice(unknown_numbers(message), 1):
        yield Violation(field=path, description=f"has an unknown field with the number {number}; remove it")
    for field, value in message.ListFields():
        for place, child in _messages(f"{path}.{field.name}", field, value):
            yield from unknown_fields(place, child)


def bad_times(path: str, message: Message) -> Iterator[Violation]:
    """Durations and timestamps that are none: parts of unlike sign, or out of range."""
    if isinstance(message, _TIMES):
        try:
            message.ToJsonString()
        except ValueError as error:
            yield Violation(field=path, description=f"is no valid {type(message).__name__}: {error}")
        return
    for name, field, is_single in _timed(message.DESCRIPTOR):
        if not is_single:
            for place, child in _messages(f"{path}.{name}", field, getattr(message, name)):
                yield from bad_times(place, child)
        elif message.HasField(name):
            yield from bad_times(f"{path}.{name}", getattr(message, name))


@functools.cache
def _timed(descriptor: Descriptor) -> Sequence[tuple[str, FieldDescriptor, bool]]:
    """The fields of a message in which there may be a time, by number, and whether each is a single message: most of a spec is
    passed over.
    """
    return [
        (field.name, field, field.has_presence)
        for field in sorted(descriptor.fields, key=lambda each: each.number)
        if _leads_to_time(field.message_type, frozenset())
    ]


def _leads_to_time(descriptor: Descriptor | None, above: frozenset[str]) -> bool:
    if descriptor is None or descriptor.full_name in above:
        return False
    above |= {descriptor.full_name}
    return descriptor.full_name in _TIME_NAMES or any(
        _leads_to_time(each.message_type, above) for each in descriptor.fields
    )


def _messages(name: str, field: FieldDescriptor, value: Any) -> Iterator[tuple[str, Message]]:
    """The messages that a field holds, with their paths."""
    if field.message_type is None:
        return
    if isinstance(value, Message):
        yield name, value
    elif field.message_type.GetOptions().map_entry:
        if field.message_type.fields_by_name["value"].message_type is not None:
            yield from ((f'{name}["{key}"]', value[key]) for key in value)
    else:
        yield from ((f"{name}[{index}]", item) for index, item in enumerate(value))
