"""Inputs: opened once, read from then on through the descriptor, so that nothing can be put in their place afterwards."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from telecine_worker.failure import AttemptFailed, permanent
from telecine_worker.storage import disk_errors
from telecine_worker.storage.beneath import open_regular
from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.http_exchange import Network
from telecine_worker.storage.http_fetch import Request, fetch, over_limit
from telecine_worker.storage.http_target import DEFAULT_PORTS
from telecine_worker.storage.input_cache import InputCache, Shelf, Wanted
from telecine_worker.storage.locations import FileRoots
from telecine_worker.storage.object_fetch import ObjectRequest, fetch_object
from telecine_worker.storage.object_store import ObjectStores
from telecine_worker.storage.store_places import StorePlace, is_store

HASH_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Where inputs may come from. What is fetched is kept in *directory*, in files without a name."""

    roots: FileRoots
    network: Network
    stores: ObjectStores = field(default_factory=ObjectStores)
    directory: Path
    max_bytes: int
    cache: InputCache = field(default_factory=lambda: InputCache(Path("/"), 0))


class Source:
    """An open input. A context manager: leaving it closes the file. *place* is where it came from in an object store."""

    def __init__(self, *, name: str, fd: int, place: StorePlace | None = None) -> None:
        self.name = name
        self.place = place
        self.fd = fd
        self.size_bytes = os.fstat(fd).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)


def open_source(
    intake: Intake,
    *,
    tenant: str,
    name: str,
    uri: str,
    headers: Mapping[str, str],
    sha256: str,
    stopped: Callable[[], bool],
) -> Source:
    """Open the input *name*: below a file root, or fetched: from a store root, or by http and https, which *headers* are for.
    An empty *sha256* (lower-case hex) is not checked.

    Blocks, for a thread: for as long as the file system does, and while it is fetched and hashed. *stopped* is asked several
    times a second whether to give up. Raises FetchStopped, and AttemptFailed: PATH_NOT_ALLOWED, INPUT_NOT_FOUND,
    INPUT_UNREADABLE, INPUT_OVER_LIMIT, INPUT_CHECKSUM_MISMATCH, IO_ERROR, and what `fetch` and `fetch_object` say.
    """
    if is_store(uri) or uri.partition("://")[0].lower() in DEFAULT_PORTS:
        wanted = Wanted(tenant=tenant, uri=uri, headers=headers, sha256=sha256)
        try:
            return _fetched(intake, name, wanted, stopped)
        except AttemptFailed as error:
            # What is kept for later makes room for what is wanted now.
            if error.failure.reason != "NO_SPACE" or not intake.cache.empty():
                raise
            return _fetched(intake, name, wanted, stopped)
    source = _open_file(intake.roots, name, uri)
    with ExitStack() as failing:
        failing.enter_context(source)
        if source.size_bytes > intake.max_bytes:
            raise over_limit(f"input {name}", intake.max_bytes)
        if sha256:
            _check_sha256(source, sha256, stopped)
        failing.pop_all()
    return source


def _fetched(intake: Intake, name: str, wanted: Wanted, stopped: Callable[[], bool]) -> Source:
    # Where it may not come from is found out first: what is kept does not matter then.
    place, fetching = _way(intake, name, wanted, stopped)
    with intake.cache.shelf(wanted, stopped) as shelf:
        kept = shelf.find_content()
        fd = fetching(shelf) if kept is None else kept
    return Source(name=name, fd=fd, place=place)


def _way(
    intake: Intake, name: str, wanted: Wanted, stopped: Callable[[], bool]
) -> tuple[StorePlace | None, Callable[[Shelf], int]]:
    """How to fetch it, and the place in an object store that it comes from."""
    if not is_store(wanted.uri):
        request = Request(
            name=name, url=wanted.uri, headers=wanted.headers, sha256=wanted.sha256, max_bytes=intake.max_bytes
        )
        return None, lambda shelf: fetch(intake.network, intake.directory, request, stopped, shelf=shelf)
    bucket, place = intake.stores.locate(wanted.uri, f"input {name}")
    an_object = ObjectRequest(name=name, place=place, sha256=wanted.sha256, max_bytes=intake.max_bytes)
    patience = intake.stores.patience
    return place, lambda shelf: fetch_object(bucket, patience, intake.directory, an_object, stopped, shelf=shelf)


def _open_file(roots: FileRoots, name: str, uri: str) -> Source:
    what = f"input {name}"
    location = roots.locate(uri, what)
    try:
        root = location.open_root()
        try:
            return Source(name=name, fd=open_regular(root, location.parts))
        finally:
            os.close(root)
    except OSError as error:
        raise disk_errors.read_failure(error, f"{what} ({location.path})") from error


def _check_sha256(source: Source, wanted: str, stopped: Callable[[], bool]) -> None:
    try:
        found = sha256(source.fd, stopped)
    except OSError as error:
        raise disk_errors.read_failure(error, f"input {source.name}") from error
    if found is None:
        raise FetchStopped
    if found != wanted:
        raise permanent("INPUT_CHECKSUM_MISMATCH", f"input {source.name} has the SHA-256 {found}, expected {wanted}")


def sha256(fd: int, stopped: Callable[[], bool]) -> str | None:
    """Of the whole file, lower-case hex; None when *stopped* said so before the end. Does not move the file's position."""
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(fd, HASH_READ_BYTES, offset):
        if stopped():
            return None
        digest.update(chunk)
        offset += len(chunk)
    return digest.hexdigest()
