"""Outcomes that a scheduler has not acknowledged yet, kept on disk: a worker that crashes or restarts sends them again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog
from google.protobuf.message import DecodeError

from telecine.v1 import lease_service_pb2 as pb
from telecine_worker.lease_key import LeaseKey
from telecine_worker.work_dir import write_durably

log = structlog.get_logger(__name__)


class Journal:
    """One file an outcome. Small: an outcome leaves as soon as it is acknowledged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._outcomes: dict[LeaseKey, pb.Outcome] = {}

    def load(self) -> None:
        """Read what an earlier life left. A file that cannot be read is set aside and named in the log."""
        for path in sorted(self._folder.glob("*.outcome")):
            try:
                outcome = pb.Outcome.FromString(path.read_bytes())
                self._outcomes[LeaseKey.of(outcome.lease)] = outcome
            except DecodeError:
                log.error("journal entry is damaged", path=path.name)
                path.rename(path.with_suffix(".damaged"))

    @property
    def unconfirmed(self) -> Sequence[pb.Outcome]:
        """Every outcome that was not acknowledged, oldest first."""
        return list(self._outcomes.values())

    def __contains__(self, key: object) -> bool:
        return key in self._outcomes

    async def add(self, outcome: pb.Outcome) -> None:
        """Keep *outcome*; it is on disk when this returns, unless the disk refuses: then only this process keeps it."""
        key = LeaseKey.of(outcome.lease)
        self._outcomes[key] = outcome
        try:
            await asyncio.to_thread(write_durably, self._path(key), outcome.SerializeToString())
        except OSError as error:
            log.error("outcome could not be written to the journal", job_id=key.job_id, errno=error.errno)

    def remove(self, key: LeaseKey) -> None:
        """The outcome was acknowledged."""
        if self._outcomes.pop(key, None) is not None:
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: LeaseKey) -> Path:
        return self._folder / f"{key.tenant}~{key.job_id}~{key.token}.outcome"
