"""Job specs: read from JSON or dictionaries, or built by a call. The contract's own message is what comes out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar, Unpack, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from telecine.v1 import media_pb2
from telecine_client.errors import Violation, invalid
from telecine_client.spec_options import SpecOptions, apply

AnySpec = media_pb2.JobSpec | Mapping[str, Any] | str
"""A JobSpec message, or its proto JSON as a dictionary or text (camelCase or snake_case)."""

Source = str | media_pb2.Input
"""A file's URI, or an Input with headers and sha256."""

M = TypeVar("M", bound=Message)


def job_spec(spec: AnySpec) -> media_pb2.JobSpec:
    """The message for *spec*. Raises InvalidRequest naming every unknown field, or the first that does not fit."""
    if isinstance(spec, media_pb2.JobSpec):
        return spec
    if isinstance(spec, str):
        try:
            spec = json.loads(spec)
        except json.JSONDecodeError as broken:
            raise invalid(f"the spec is no JSON: {broken}") from broken
    return read_message(spec, media_pb2.JobSpec(), at="spec")


def read_message(data: object, message: M, *, at: str) -> M:
    """Fill *message* from the proto JSON *data*, which is found *at* this path of the request.

    Raises InvalidRequest naming every unknown field, or the first that does not fit.
    """
    if not isinstance(data, Mapping):
        raise invalid(
            f"{at} is {_kind(data)}; it has to be an object with fields", Violation(field=at, description="no object")
        )
    unknown = tuple(_unknown_fields(data, cast("Descriptor", message.DESCRIPTOR), at))
    if unknown:
        violations = (Violation(field=path, description="there is no such field") for path in unknown)
        raise invalid(f"unknown fields: {', '.join(unknown)}", *violations)
    try:
        json_format.ParseDict(dict(data), message)
    except json_format.ParseError as wrong:
        raise invalid(f"{at} does not fit the contract: {str(wrong).rstrip('.')}") from wrong
    return message


def _unknown_fields(data: Mapping[Any, Any], descriptor: Descriptor, at: str) -> Iterator[str]:
    """Paths of the keys that are no field of *descriptor*, at any depth."""
    fields = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    for key, value in data.items():
        path = f"{at}.{key}"
        field = fields.get(key)
        if field is None:
            yield path
        else:
            for where, part, kind in _submessages(field, value, path):
                yield from _unknown_fields(part, kind, where)


def _submessages(field: FieldDescriptor, value: Any, at: str) -> Iterator[tuple[str, Mapping[Any, Any], Descriptor]]:
    """The objects in a field's value, each with its path and type; values of a wrong shape are left to the parser."""
    kind = field.message_type
    # Google's own types (Duration, Timestamp) are written as strings.
    if kind is None or kind.full_name.startswith("google.protobuf."):
        return
    parts: Iterable[tuple[str, Any]] = ((at, value),)
    if kind.GetOptions().map_entry:
        kind = kind.fields_by_name["value"].message_type
        parts = ((f"{at}[{name}]", part) for name, part in value.items()) if isinstance(value, Mapping) else ()
    elif isinstance(value, list):
        parts = ((f"{at}[{index}]", part) for index, part in enumerate(value))
    for where, part in parts:
        if kind is not None and isinstance(part, Mapping):
            yield where, part, kind


def _kind(data: object) -> str:
    names = {
        type(None): "empty",
        list: "a list",
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "true or false",
    }
    return names.get(type(data), "no object")


def transcode(
    source: Source,
    output_uri: str,
    path: str,
    *,
    video: media_pb2.Video | None = None,
    audio: media_pb2.Audio | None = None,
    start: timedelta | None = None,
    end: timedelta | None = None,
    **options: Unpack[SpecOptions],
) -> media_pb2.JobSpec:
    """One file in, the file *path* under the directory or prefix *output_uri* out.

    Without *video* the result has no picture, without *audio* no sound. Set what else the spec offers on the message it
    gives.
    """
    task = media_pb2.TranscodeTask(input="source", path=path, video=video, audio=audio)
    if start is not None or end is not None:
        task.trim.SetInParent()
    if start is not None:
        task.trim.start.FromTimedelta(start)
    if end is not None:
        task.trim.end.FromTimedelta(end)
    return _spec(source, media_pb2.Task(transcode=task), options, output_uri)


def thumbnails(
    source: Source,
    output_uri: str,
    path: str,
    *,
    count: int | None = None,
    interval: timedelta | None = None,
    offsets: Iterable[timedelta] | None = None,
    best: int | None = None,
    width_px: int = 0,
    **options: Unpack[SpecOptions],
) -> media_pb2.JobSpec:
    """Still pictures of a video; *path* has one %d, as in "thumbs/%03d.jpg" (jpg, png, webp).

    Which ones: *count* evenly spread, one each *interval*, those at *offsets*, or the *best* (most representative) so many.
    Raises ValueError unless it is exactly one of these. *width_px* 0: the source's.
    """
    if [count, interval, offsets, best].count(None) != 3:
        raise ValueError("choose the pictures by exactly one of count, interval, offsets and best")
    task = media_pb2.ThumbnailsTask(input="source", path=path, width_px=width_px)
    if count is not None:
        task.count = count
    if best is not None:
        task.best = best
    if interval is not None:
        task.interval.FromTimedelta(interval)
    if offsets is not None:
        task.offsets.SetInParent()
        for offset in offsets:
            task.offsets.offsets.add().FromTimedelta(offset)
    return _spec(source, media_pb2.Task(thumbnails=task), options, output_uri)


def probe(
    source: Source,
    *,
    decode: bool = False,
    measure_loudness: bool = False,
    detect_scenes: bool = False,
    detect_black: bool = False,
    detect_silence: bool = False,
    **options: Unpack[SpecOptions],
) -> media_pb2.JobSpec:
    """What a file is, in JobResult.inputs["source"]; writes no file.

    *decode* reads all of it and counts errors; what is measured is in JobResult.measurements, what is detected in
    JobResult.detections.
    """
    task = media_pb2.ProbeTask(
        input="source",
        decode=decode,
        measure_loudness=measure_loudness,
        detect_scenes=detect_scenes,
        detect_black=detect_black,
        detect_silence=detect_silence,
    )
    return _spec(source, media_pb2.Task(probe=task), options)


def _spec(
    source: Source, task: media_pb2.Task, options: SpecOptions, output_uri: str | None = None
) -> media_pb2.JobSpec:
    given = source if isinstance(source, media_pb2.Input) else media_pb2.Input(uri=source)
    spec = media_pb2.JobSpec(inputs={"source": given}, task=task)
    if output_uri is not None:
        spec.output.uri = output_uri
    apply(options, spec)
    return spec
