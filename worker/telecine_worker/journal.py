"""Outcomes that a scheduler has not acknowledged yet, kept on disk: a worker that crashes or restarts sends them again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from google.protobuf.message import DecodeError

from telecine.v1 import lease_service_pb2 as pb
from telecine_worker.lease_key import LeaseKey
from telecine_worker.work_dir import write_durably

log = structlog.get_logger(__name__)

# A disk that has not written an outcome by then counts as one that refuses it.
WRITE_SECONDS = 10.0
# How long the end of the worker waits for what is still to be written or removed.
SETTLE_SECONDS = 1.0


class Journal:
    """One file an outcome. Small: an outcome leaves as soon as it is acknowledged.

    All methods but :meth:`load` are for the event loop. Files are written and removed in order, by a thread that
    nothing else can keep busy.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._outcomes: dict[LeaseKey, pb.Outcome] = {}
        # Being written; True once it was acknowledged meanwhile.
        self._writing: dict[LeaseKey, bool] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")

    def load(self) -> None:
        """Read what an earlier life left. A file that holds no outcome is set aside and named in the log.

        Raises OSError where the folder cannot be read or changed.
        """
        for unfinished in self._folder.glob(".*.new"):
            unfinished.unlink()
        for path in sorted(self._folder.glob("*.outcome"), key=lambda path: path.stat().st_mtime_ns):
            outcome = self._read(path)
            if outcome is None:
                log.error("journal entry is damaged", path=path.name)
                path.rename(path.with_suffix(".damaged"))
            else:
                self._outcomes[LeaseKey.of(outcome.lease)] = outcome

    def _read(self, path: Path) -> pb.Outcome | None:
        """The outcome in a file. An empty file parses, too, and so may a torn one: both lack what every outcome has."""
        try:
            outcome = pb.Outcome.FromString(path.read_bytes())
        except DecodeError:
            return None
        whole = outcome.WhichOneof("kind") is not None and path == self._path(LeaseKey.of(outcome.lease))
        return outcome if whole else None

    @property
    def unconfirmed(self) -> Sequence[pb.Outcome]:
        """Every outcome that was not acknowledged, oldest first."""
        return list(self._outcomes.values())

    def find(self, key: LeaseKey) -> pb.Outcome | None:
        """The unconfirmed outcome of a lease."""
        return self._outcomes.get(key)

    async def add(self, outcome: pb.Outcome) -> None:
        """Keep *outcome*. It is unconfirmed, and may be sent, from when this returns: nothing is said that a crash
        could unsay. Where the disk refuses, or hangs, only this process keeps it.
        """
        key = LeaseKey.of(outcome.lease)
        self._writing[key] = False
        writing = self._thread.submit(_write, self._path(key), outcome.SerializeToString())
        try:
            done, _ = await asyncio.wait({asyncio.wrap_future(writing)}, timeout=WRITE_SECONDS)
            if not done:
                log.error("journal does not answer, the outcome is said all the same", job_id=key.job_id)
        finally:
            acknowledged = self._writing.pop(key)
        if acknowledged:
            self._thread.submit(_remove, self._path(key))
        else:
            self._outcomes[key] = outcome

    def remove(self, key: LeaseKey) -> None:
        """The outcome was acknowledged."""
        if key in self._writing:
            self._writing[key] = True
        if self._outcomes.pop(key, None) is not None:
            self._thread.submit(_remove, self._path(key))

    def set_aside(self, key: LeaseKey) -> None:
        """No scheduler takes this outcome: its file stays for whoever looks into it, and is read no more."""
        if self._outcomes.pop(key, None) is not None:
            self._thread.submit(_set_aside, self._path(key))

    async def settle(self) -> bool:
        """Whether all is written and removed; where it is not, within SETTLE_SECONDS, a thread hangs that nothing can end."""
        done, _ = await asyncio.wait({asyncio.wrap_future(self._thread.submit(_nothing))}, timeout=SETTLE_SECONDS)
        return bool(done)

    def close(self) -> None:
        """Write no more; what is being written or removed is finished, but not waited for."""
        self._thread.shutdown(wait=False)

    def _path(self, key: LeaseKey) -> Path:
        return self._folder / f"{key.tenant}~{key.job_id}~{key.token}.outcome"


def _nothing() -> None:
    return None


def _write(path: Path, content: bytes) -> None:
    try:
        write_durably(path, content)
    except OSError as error:
        log.error("outcome could not be written to the journal", path=path.name, errno=error.errno)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        # It will be sent again after a restart, and acknowledged again.
        log.error("journal entry could not be removed", path=path.name, errno=error.errno)


def _set_aside(path: Path) -> None:
    try:
        path.rename(path.with_suffix(".damaged"))
    except OSError as error:
        log.error("journal entry could not be set aside", path=path.name, errno=error.errno)
