"""Places of files: what a person types becomes the absolute URIs that a spec needs."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from telecine.v1 import media_pb2
from telecine_client.cli.exits import UsageError

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_OUTPUT_SCHEMES = {"s3", "gs", "az"}


def shown(text: str) -> str:
    """The same without a URL's query, which may hold a secret."""
    return text.partition("?")[0] if _URI.match(text) else text


def to_uri(text: str) -> str:
    """An absolute URI: what is none is a local path (FFmpeg's file: before it is fine). Symbolic links are left as they are."""
    if _URI.match(text):
        return text
    return _local_path(text).as_uri()


def make_uris(spec: media_pb2.JobSpec) -> None:
    """Make the local paths of the spec's inputs and of its output absolute URIs."""
    for source in spec.inputs.values():
        if source.uri:
            source.uri = to_uri(source.uri)
    if spec.output.uri:
        spec.output.uri = to_uri(spec.output.uri)


def _local_path(text: str) -> Path:
    path = text.removeprefix("file:")
    if path in {"", "-"} or path.startswith("pipe:"):
        raise UsageError(f"{text!r} is no file; jobs read and write files, not standard input or output")
    return Path(os.path.abspath(path))  # noqa: PTH100 - pathlib's resolve() would follow symbolic links


def split_output(text: str) -> tuple[str, str]:
    """The directory's URI and the file's name within it."""
    directory, (path,) = split_outputs([text])
    return directory, path


def split_pattern(text: str) -> tuple[str, str]:
    """The directory's URI and the pattern of names within it; the "%" of a pattern is no escape of a URI."""
    directory, slash, pattern = text.rpartition("/")
    if "%" not in pattern:
        raise UsageError(f"{shown(text)!r}: name the pictures by a pattern, for example thumbs/%03d.jpg")
    base, _ = split_output(f"{directory}{slash}pattern")
    return base, pattern


def split_outputs(texts: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The URI of the innermost directory (or prefix) that all have in common, and the path of each within it."""
    places = [_place(text) for text in texts]
    bases = {base for base, _ in places}
    if len(bases) > 1:
        raise UsageError(f"a job writes to one place, but these are in {len(bases)}: {', '.join(map(shown, texts))}")
    base = bases.pop()
    common = PurePosixPath(os.path.commonpath([path.parent for _, path in places]))
    if not base and common == PurePosixPath("/"):
        raise UsageError(f"{', '.join(texts)}: the files have to be below a directory that is not /")
    directory = Path(common).as_uri() if not base else f"{base}{common}".rstrip("/")
    return directory, tuple(str(path.relative_to(common)) for _, path in places)


def _place(text: str) -> tuple[str, PurePosixPath]:
    """Scheme and bucket (empty for a local file), and the absolute path."""
    found = _URI.match(text)
    if text.endswith("/") or PurePosixPath(text).name in {"", ".", ".."}:
        raise UsageError(f"{shown(text)!r} is a directory; name the file to write")
    if not found:
        return "", PurePosixPath(_local_path(text))
    parts = urlsplit(text)
    if found[1] == "file":
        return "", PurePosixPath(unquote(parts.path))
    if found[1] not in _OUTPUT_SCHEMES:
        raise UsageError(f"{shown(text)!r}: files go to a local path or to file://")
    return f"{found[1]}://{parts.netloc}", PurePosixPath(parts.path)
