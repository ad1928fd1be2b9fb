"""The folder a worker keeps between its lives: its id and its journal. One process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from telecine_worker.config import WORKER_ID

log = structlog.get_logger(__name__)


class WorkDirBusy(Exception):
    """Another worker uses this folder."""


class WorkDir:
    """Locked from entering to leaving."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = self._open.enter_context((self._path / "lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._open.close()
            raise WorkDirBusy(f"another worker uses {self._path}; give each its own TELECINE_WORK_DIR") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def worker_id(self) -> str:
        """The id kept here; made the first time, and where what is kept is no id (a power cut can leave an empty file)."""
        path = self._path / "worker-id"
        if path.exists():
            kept = path.read_bytes().decode(errors="replace").strip()
            if WORKER_ID.fullmatch(kept):
                return kept
            log.warning("worker id was damaged", path=str(path))
        made = f"worker-{uuid.uuid4().hex[:12]}"
        write_durably(path, f"{made}\n".encode())
        return made

    def emptied(self, name: str) -> Path:
        """A folder for this life alone; what an earlier one left there is removed."""
        path = self._path / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(exist_ok=True, mode=0o700)
        return path

    @property
    def journal(self) -> Path:
        """Where outcomes wait for their acknowledgement."""
        path = self._path / "journal"
        path.mkdir(exist_ok=True, mode=0o700)
        return path


def write_durably(path: Path, content: bytes) -> None:
    """Put *content* at *path* in one step, on disk when this returns. A crash may leave `.NAME.new` beside it."""
    made = path.with_name(f".{path.name}.new")
    with made.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    made.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Bring the folder's entries to disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
