"""What a file:// URI names, and whether it may be touched: only what lies below the operator's roots."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlsplit

from telecine_worker.failure import AttemptFailed, permanent

LONGEST_PATH_BYTES = 4096
LONGEST_RELATIVE = 1024
STAGING_FOLDER = ".telecine"
"""Below an output: where attempts write what is not published yet. Nothing that a spec names lies in one: a job could else
change what another one has verified.
"""
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
"""Characters that a URI has not got; what takes it apart may drop them silently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place below a root. *parts* are the names from the root down; none of them is empty, "." or ".."."""

    root: Path
    parts: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Absolute; for messages and for the URIs of results, not for opening."""
        return self.root.joinpath(*self.parts)

    def open_root(self) -> int:
        """A descriptor of the root. Links in the root's own path were the operator's choice, and are followed."""
        return os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


class FileRoots:
    """The directories below which files may be read and written; none means that every file:// is refused."""

    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots = tuple(_normal(root) for root in roots)

    def locate(self, uri: str, what: str) -> Location:
        """The place that *uri* names; *what* names it in messages ("input main").

        Nothing is opened here. Raises AttemptFailed PATH_NOT_ALLOWED.
        """
        path = file_path(uri, what)
        below = [root for root in self._roots if path.is_relative_to(root)]
        if not below:
            allowed = ", ".join(map(str, self._roots)) or "none are configured on this worker"
            raise permanent("PATH_NOT_ALLOWED", f"{what}: {path} is not below a file root ({allowed})")
        root = max(below, key=lambda candidate: len(candidate.parts))
        parts = path.relative_to(root).parts
        if STAGING_FOLDER in parts:
            raise _refused(what, f"has a {STAGING_FOLDER} part: such folders are the workers' own")
        return Location(root=root, parts=parts)


def _normal(root: Path) -> Path:
    if not root.is_absolute() or ".." in root.parts:
        raise ValueError(f"file root {root} is not an absolute path without '..'")
    return root


def file_path(uri: str, what: str) -> Path:
    """The path in a file:// URI. Raises AttemptFailed PATH_NOT_ALLOWED.

    Names that are no UTF-8 are refused: they could be opened, but no message or result could name them.
    """
    if CONTROL.search(uri):
        raise _refused(what, "has a control character; write it percent-encoded where it is part of a name")
    try:
        split = urlsplit(uri)
    except ValueError:
        raise _refused(what, "is not a URI; file:///absolute/path would be right") from None
    if split.scheme != "file":
        raise _refused(
            what, f"has the scheme {split.scheme!r}; file:// would be right, and http:// or https:// for an input"
        )
    if split.netloc not in ("", "localhost"):
        raise _refused(what, "names a host; a file URI has three slashes: file:///absolute/path")
    if "?" in uri or "#" in uri:
        raise _refused(what, "has a query or fragment; write ? as %3F and # as %23 where they are part of a name")
    raw = unquote_to_bytes(split.path)
    if b"\0" in raw or len(raw) > LONGEST_PATH_BYTES:
        raise _refused(what, f"holds a NUL byte or more than {LONGEST_PATH_BYTES} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise _refused(what, "is not UTF-8 after its percent signs are resolved; such a name cannot be told") from None
    if not text.startswith("/"):
        raise _refused(what, "is not absolute")
    names = text.strip("/").split("/") if text.strip("/") else []
    if any(name in ("", ".", "..") for name in names):
        raise _refused(what, "has an empty, '.' or '..' part")
    return Path("/", *names)


def check_relative(path: str) -> None:
    """Raise AttemptFailed PATH_NOT_ALLOWED unless *path* stays below the output and off the folders of stagings."""
    names = path.split("/")
    if len(path) > LONGEST_RELATIVE or "\0" in path or any(name in ("", ".", "..") for name in names):
        raise permanent(
            "PATH_NOT_ALLOWED",
            f"output path {path[:80]!r} has an empty, '.' or '..' part or more than {LONGEST_RELATIVE} characters; "
            "a relative path such as folder/name.mp4 would be right",
        )
    if STAGING_FOLDER in names:
        raise permanent(
            "PATH_NOT_ALLOWED", f"output path {path!r} has a {STAGING_FOLDER} part: such folders are the workers' own"
        )


def file_uri(path: Path) -> str:
    """The file:// URI of an absolute path."""
    return "file://" + quote(os.fsencode(path))


def _refused(what: str, why: str) -> AttemptFailed:
    return permanent("PATH_NOT_ALLOWED", f"{what}: the uri {why}")
