"""What a result says of published files: one artifact for each, and one for each set of them, however many it has."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from telecine_worker.outcome import Artifact
from telecine_worker.preparation import Prepared
from telecine_worker.storage.destination import Destination


def artifacts(prepared: Sequence[Prepared], destination: Destination) -> tuple[Artifact, ...]:
    """In the order in which they are published; a set where its first file is.

    The checksum of a set is that of a list with a line "<sha256>  <path>" for each of its files, a line feed after each, in the
    order of the paths, which are relative to the output.
    """
    made: list[Artifact] = []
    sets = {each.expected.set_path for each in prepared} - {""}
    for each in prepared:
        path = each.expected.set_path
        if not path:
            made.append(_file(each, destination))
        elif path in sets:
            sets.remove(path)
            made.append(_set([one for one in prepared if one.expected.set_path == path], destination))
    return tuple(made)


def _file(prepared: Prepared, destination: Destination) -> Artifact:
    path = prepared.expected.path
    return Artifact(
        path=destination.relative(path),
        uri=destination.uri(path),
        size_bytes=prepared.size_bytes,
        sha256=prepared.sha256,
        media_type=prepared.expected.media_type,
        media=prepared.info,
    )


def _set(files: Sequence[Prepared], destination: Destination) -> Artifact:
    expected = files[0].expected
    listing = hashlib.sha256()
    for line in sorted(f"{destination.relative(each.expected.path)}\0{each.sha256}" for each in files):
        path, _, digest = line.partition("\0")
        listing.update(f"{digest}  {path}\n".encode())
    return Artifact(
        path=destination.relative(expected.set_path),
        uri=destination.uri(expected.set_path),
        size_bytes=sum(each.size_bytes for each in files),
        sha256=listing.hexdigest(),
        media_type=expected.media_type,
        media=None,
        file_count=len(files),
    )
