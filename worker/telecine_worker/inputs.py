"""The inputs of one attempt: opened once, and read by FFmpeg through their descriptors."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from telecine.v1 import media_pb2
from telecine_worker.ffmpeg.stop_order import Stopped
from telecine_worker.storage import disk_errors
from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.sources import Intake, Source, open_source, sha256
from telecine_worker.storage.store_places import StorePlace
from telecine_worker.storage.threads import Threads


class Inputs:
    """Of a job of *tenant*. *stopped* says whether the attempt is to end, *on_input* hears the scheme and the size of each
    input, in a thread.
    """

    def __init__(
        self,
        intake: Intake,
        threads: Threads,
        *,
        tenant: str,
        stopped: Callable[[], bool],
        on_input: Callable[[str, int], None],
    ) -> None:
        self._tenant = tenant
        self._intake = intake
        self._threads = threads
        self._stopped = stopped
        self._on_input = on_input
        self._sources: dict[str, Source] = {}
        self._opened = ExitStack()

    async def open(self, wanted: Mapping[str, media_pb2.Input]) -> None:
        """One after the other: fetch what lies elsewhere, compare checksums. Raises AttemptFailed, Stopped."""
        for name in sorted(wanted):
            await self._threads.run_stoppable(self._stopped, self._open, name, wanted[name])
            self._raise_if_stopped()

    @property
    def fds(self) -> dict[str, int]:
        """Descriptors by name."""
        return {name: source.fd for name, source in self._sources.items()}

    @property
    def urls(self) -> dict[str, str]:
        """What FFmpeg opens, by name."""
        return {name: f"file:/proc/self/fd/{fd}" for name, fd in self.fds.items()}

    @property
    def files(self) -> dict[tuple[int, int], str]:
        """Names by device and inode: which file an input is, whatever its path."""
        found = {name: os.fstat(fd) for name, fd in self.fds.items()}
        return {(stat.st_dev, stat.st_ino): name for name, stat in found.items()}

    @property
    def objects(self) -> dict[StorePlace, str]:
        """Names by place in an object store."""
        return {source.place: name for name, source in self._sources.items() if source.place is not None}

    @property
    def size_bytes(self) -> int:
        """Of all of them."""
        return sum(source.size_bytes for source in self._sources.values())

    async def raise_if_unreadable(self) -> None:
        """Read everything once. To FFmpeg an error of the disk is the end of the file, so what looks damaged may lie whole on
        a disk that fails. Raises AttemptFailed IO_ERROR, Stopped.
        """
        for name, fd in self.fds.items():
            try:
                await self._threads.run_stoppable(self._stopped, _read, fd)
            except OSError as error:
                raise disk_errors.read_failure(error, f"input {name}") from error
            self._raise_if_stopped()

    def close(self) -> None:
        """Safe to repeat."""
        self._opened.close()

    def _open(self, stopped: Callable[[], bool], name: str, wanted: media_pb2.Input) -> None:
        try:
            source = open_source(
                self._intake, tenant=self._tenant, name=name, uri=wanted.uri, headers=wanted.headers, sha256=wanted.sha256,
                stopped=stopped,
            )  # fmt: skip
        except FetchStopped:
            raise Stopped from None
        self._sources[name] = self._opened.enter_context(source)
        self._on_input(wanted.uri.partition("://")[0].lower(), source.size_bytes)

    def _raise_if_stopped(self) -> None:
        if self._stopped():
            raise Stopped


def _read(stopped: Callable[[], bool], fd: int) -> None:
    sha256(fd, stopped)
