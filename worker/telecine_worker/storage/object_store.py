"""Buckets: what is asked of an object store, one request each, in plain values."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from telecine_worker.storage.patience import Patience
from telecine_worker.storage.store_client import check_settings, connect
from telecine_worker.storage.store_errors import Changed, Missing, translated
from telecine_worker.storage.store_loop import StoreLoop
from telecine_worker.storage.store_places import StorePlace, StoreRoots

if TYPE_CHECKING:
    from telecine_worker.storage.store_client import Client

# A client's own limit for a whole body. How long one range may take, its caller says.
LONGEST_READ = timedelta(hours=24)
PIECE_BYTES = 128 << 10
# A copy of 5 GiB within a store takes a minute or so.
LONGEST_COPY = timedelta(minutes=5)
QUESTIONS_AT_ONCE = 16
# Below this a link is as good as broken.
LEAST_BYTES_PER_SECOND = 64 << 10
# Less is not told apart.
LEAST_SENDING_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An object that is there. *tag* is its version; *notes* its type and its own metadata."""

    size: int
    tag: str | None
    notes: Mapping[str, str]


class Bucket:
    """One bucket. Its methods block, for a thread; *stopped* is asked several times a second and ends them by FetchStopped.

    They raise StoreRefusal, and Broken where another try may do better.
    """

    def __init__(self, scheme: str, name: str, loop: StoreLoop, patience: Patience) -> None:
        self.loop = loop
        self._scheme = scheme
        self._name = name
        self._patience = patience
        self._clients: dict[tuple[timedelta, timedelta | None, bool], Client] = {}

    def head(self, key: str, stopped: Callable[[], bool]) -> Found:
        """What is at *key*. Raises Missing."""
        return self.loop.run(self._head(key), stopped)

    def heads(self, keys: Sequence[str], stopped: Callable[[], bool]) -> list[Found | None]:
        """What is at each of *keys*, several asked for at once; None: nothing."""
        return self.loop.run(self._heads(keys), stopped)

    def begin_read(self, key: str, begin: int, end: int, tag: str | None, within: timedelta) -> Future[list[bytes]]:
        """The bytes from *begin* up to *end* of the version *tag*, in pieces, and Changed where there is another."""
        return self.loop.begin(self._read(key, begin, end, tag, within))

    def create(self, key: str, content: bytes, attributes: Mapping[str, str], stopped: Callable[[], bool]) -> None:
        """Put a small object where nothing is, in one step. Raises Taken."""
        self.loop.run(self._put(key, content, attributes, mode="create"), stopped)

    def put(self, key: str, content: bytes, attributes: Mapping[str, str], stopped: Callable[[], bool]) -> None:
        """Put a small object, over anything."""
        self.loop.run(self._put(key, content, attributes, mode="overwrite"), stopped)

    async def upload(
        self, key: str, chunks: AsyncIterator[bytes], attributes: Mapping[str, str], *, part_bytes: int, at_once: int
    ) -> None:
        """Put what *chunks* gives, in parts: visible when the last one is there, and never where *chunks* raises. For the
        store's loop. A part that fails in passing is repeated; all else is asked for once, and repeated by its caller.
        """
        import obstore  # noqa: PLC0415 - see store_errors

        with translated():
            client = self._client(self._sending(part_bytes), again=True)
            await obstore.put_async(
                client, key, chunks, attributes=dict(attributes), use_multipart=True, chunk_size=part_bytes,
                max_concurrency=at_once,
            )  # fmt: skip

    def copy(self, source: str, target: str, stopped: Callable[[], bool], *, replace: bool) -> None:
        """Copy an object with its attributes, in one step that is asked for once. Raises Missing, and Taken."""
        self.loop.run(self._copy(source, target, replace), stopped)

    def delete(self, keys: Iterable[str], stopped: Callable[[], bool]) -> None:
        """Remove objects; those that are not there do not matter."""
        self.loop.run(self._delete(list(keys)), stopped)

    def folders(self, prefix: str, stopped: Callable[[], bool]) -> list[str]:
        """The names of what is below *prefix* and has something below itself."""
        return self.loop.run(self._folders(prefix), stopped)

    def keys(self, prefix: str, stopped: Callable[[], bool]) -> list[str]:
        """Every key below *prefix*."""
        return self.loop.run(self._keys(prefix), stopped)

    def _client(self, request: timedelta, silence: timedelta | None = None, *, again: bool = False) -> Client:
        limits = (request, silence, again)
        if limits not in self._clients:
            self._clients[limits] = connect(self._scheme, self._name, request=request, silence=silence, again=again)
        return self._clients[limits]

    def _sending(self, size: int) -> timedelta:
        """How long a request may take that sends so many bytes. Sizes are rounded up, to powers of two: each limit needs a
        client of its own, and a client connections of its own.
        """
        rounded = max(LEAST_SENDING_BYTES, 1 << max(0, size - 1).bit_length())
        return self._patience.answer + timedelta(seconds=rounded // LEAST_BYTES_PER_SECOND)

    async def _head(self, key: str) -> Found:
        import obstore  # noqa: PLC0415 - see store_errors

        with translated():
            found = await obstore.get_async(self._client(self._patience.answer), key, options={"head": True})
            return Found(size=found.meta["size"], tag=found.meta["e_tag"], notes=dict(found.attributes))

    async def _heads(self, keys: Sequence[str]) -> list[Found | None]:
        turns = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def ask(key: str) -> Found | None:
            async with turns:
                try:
                    return await self._head(key)
                except Missing:
                    return None

        return await asyncio.gather(*map(ask, keys))

    async def _read(self, key: str, begin: int, end: int, tag: str | None, within: timedelta) -> list[bytes]:
        import obstore  # noqa: PLC0415 - see store_errors

        options: Any = {"range": (begin, end)} | ({"if_match": tag} if tag else {})
        with translated():
            async with self.loop.reads, asyncio.timeout(within.total_seconds()):
                client = self._client(LONGEST_READ, self._patience.idle)
                found = await obstore.get_async(client, key, options=options)
                if tag and found.meta["e_tag"] != tag:
                    # Not every store that says it is S3 knows If-Match.
                    raise Changed("is another version")
                # Put together they would be in memory twice.
                return [piece async for piece in found.stream(PIECE_BYTES)]

    async def _put(self, key: str, content: bytes, attributes: Mapping[str, str], *, mode: Any) -> None:
        import obstore  # noqa: PLC0415 - see store_errors

        with translated():
            client = self._client(self._sending(len(content)))
            await obstore.put_async(client, key, content, attributes=dict(attributes), mode=mode, use_multipart=False)

    async def _copy(self, source: str, target: str, replace: bool) -> None:
        import obstore  # noqa: PLC0415 - see store_errors

        with translated():
            await obstore.copy_async(self._client(LONGEST_COPY), source, target, overwrite=replace)

    async def _delete(self, keys: list[str]) -> None:
        import obstore  # noqa: PLC0415 - see store_errors

        try:
            with translated():
                client = self._client(self._patience.answer)
                await obstore.delete_async(client, keys)
        except Missing:
            # Not every kind of store takes that as done; and the rest may not have been tried.
            for key in keys:
                with suppress(Missing), translated():
                    await obstore.delete_async(client, key)

    async def _folders(self, prefix: str) -> list[str]:
        import obstore  # noqa: PLC0415 - see store_errors

        with translated():
            listed = await obstore.list_with_delimiter_async(self._client(self._patience.answer), prefix)
            return [each.rstrip("/").rpartition("/")[2] for each in listed["common_prefixes"]]

    async def _keys(self, prefix: str) -> list[str]:
        import obstore  # noqa: PLC0415 - see store_errors

        with translated():
            pages = obstore.list(self._client(self._patience.answer), prefix, chunk_size=1000)
            return [each["path"] async for page in pages for each in page]


@dataclass(slots=True, kw_only=True)
class ObjectStores:
    """The buckets below the operator's *roots*; for all attempts of a worker."""

    roots: StoreRoots = field(default_factory=StoreRoots)
    patience: Patience = field(default_factory=Patience)
    loop: StoreLoop = field(default_factory=StoreLoop)
    _buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)

    def locate(self, uri: str, what: str) -> tuple[Bucket, StorePlace]:
        """The place that *uri* names, and its bucket. Raises AttemptFailed PATH_NOT_ALLOWED."""
        place = self.roots.locate(uri, what)
        return self.bucket(place), place

    def bucket(self, place: StorePlace) -> Bucket:
        """Of a place that may be touched."""
        made = Bucket(place.scheme, place.bucket, self.loop, self.patience)
        return self._buckets.setdefault((place.scheme, place.bucket), made)

    def check(self) -> None:
        """Make a client for each root, which asks no store for anything. Raises StoreSettingsRefused."""
        for root in self.roots:
            check_settings(root.scheme, root.bucket)

    def close(self) -> None:
        """At the worker's end."""
        self.loop.close()
