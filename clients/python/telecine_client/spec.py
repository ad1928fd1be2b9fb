"""Job specs: read from JSON or dictionaries, or built by a call. The contract's own message is what comes out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar, Unpack, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from telecine.v1 import media_pb2
from telecine_client.errors import Violation, invalid
from telecine_client.spec_options import SpecOptions, apply
from telecine_client.spec_shape import NO_SUCH_FIELD, kind, plain, violations, without_secrets

AnySpec = media_pb2.JobSpec | Mapping[str, Any] | str
"""A JobSpec message, or its proto JSON as a dictionary or text (camelCase or snake_case)."""

Source = str | media_pb2.Input
"""A file's URI, or an Input with headers and sha256."""

M = TypeVar("M", bound=Message)


def job_spec(spec: AnySpec) -> media_pb2.JobSpec:
    """The message for *spec*. Raises InvalidRequest naming every field that is unknown or of a wrong kind."""
    if isinstance(spec, media_pb2.JobSpec):
        return spec
    if isinstance(spec, str):
        try:
            spec = json.loads(spec)
        except ValueError as broken:
            raise invalid(f"the spec is no JSON: {broken}") from broken
        except RecursionError:
            raise invalid("the spec is no JSON that can be read: it is nested too deeply") from None
    return read_message(spec, media_pb2.JobSpec(), at="spec")


def read_message(data: object, message: M, *, at: str) -> M:
    """Fill *message* from the proto JSON *data*, which is found *at* this path of the request.

    Raises InvalidRequest naming every field that is unknown or of a wrong kind, or the first whose value does not fit.
    """
    if not isinstance(data, Mapping):
        rule = f"is {kind(data)}; it has to be an object with fields"
        raise invalid(f"{at} {rule}", Violation(field=at, description=rule))
    descriptor = cast("Descriptor", message.DESCRIPTOR)
    found = tuple(violations(data, descriptor, at))
    unknown = [each.field for each in found if each.description == NO_SUCH_FIELD]
    if unknown:
        raise invalid(f"unknown fields: {', '.join(unknown)}", *found)
    if found:
        raise invalid("; ".join(f"{each.field} {each.description}" for each in found), *found)
    given = plain(data)
    wrong = _parsed(without_secrets(given, descriptor), type(message)())
    if wrong is not None:
        raise invalid(f"{at} does not fit the contract: {str(wrong).rstrip('.')}") from wrong
    if _parsed(given, message) is not None:
        # Not in protobuf's words, which quote the value.
        raise invalid(f"{at} does not fit the contract: a value of its inputs or output cannot stand there")
    return message


def _parsed(data: Mapping[str, Any], message: Message) -> Exception | None:
    """What is wrong with *data*, or None once it is in *message*."""
    try:
        json_format.ParseDict(cast("dict[str, Any]", data), message)
    except (json_format.ParseError, ValueError) as wrong:
        return wrong
    return None


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
    for name, place in (("the source", source), ("the output", output_uri)):
        if isinstance(place, os.PathLike):
            raise TypeError(f"{name} is a path; a worker needs a URI: write path.resolve().as_uri()")
    given = source if isinstance(source, media_pb2.Input) else media_pb2.Input(uri=source)
    spec = media_pb2.JobSpec(inputs={"source": given}, task=task)
    if output_uri is not None:
        spec.output.uri = output_uri
    apply(options, spec)
    return spec
