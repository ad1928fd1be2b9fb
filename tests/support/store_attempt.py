"""One attempt at an output in an object store, as far as its files go."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.fetching import destinations
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.storage.destination import Destination, StagedFile
from telecine_worker.storage.destinations import InputPlaces
from telecine_worker.storage.object_store import ObjectStores

FILM = random.Random(1).randbytes(300_000)


def yes() -> bool:
    """The lease holds."""
    return True


def never() -> bool:
    """Nobody stops it."""
    return False


class Attempt:
    """One attempt at the output *prefix* with staged files; its local folder is gone when it has been discarded."""

    def __init__(
        self, stores: ObjectStores, folder: Path, prefix: str, *, token: int = 7, fail: bool = False,
        per_attempt: bool = False, allowed: Callable[[], bool] = yes, inputs: InputPlaces | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.destination: Destination = destinations([], folder, stores).open(
            prefix, f"t~job~1~{token}", replace=not fail, per_attempt=per_attempt, allowed=allowed,
            end=lambda: None, inputs=inputs or InputPlaces(),
        )  # fmt: skip

    def stage(self, path: str, content: bytes = FILM, media_type: str = "video/mp4") -> StagedFile:
        """A file in the local folder, and then in the store."""
        file_name = path.replace("/", "-")
        Path(self.destination.staging.cwd, file_name).write_bytes(content)
        file = StagedFile(
            file_name=file_name, path=path, media_type=media_type, size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )  # fmt: skip
        self.destination.prepare(never, file)
        return file

    def publish(self, *files: StagedFile) -> None:
        """As an attempt does that may."""
        self.destination.remove_older(never)
        self.destination.check_free(never, [file.path for file in files])
        self.destination.publish(never, files)

    def discard(self) -> None:
        self.destination.discard()
        assert [] == list(self.folder.iterdir())


def failing(call: Callable[..., Any], *arguments: Any) -> tuple[FailureKind, str]:
    """How it fails."""
    with pytest.raises(AttemptFailed) as error:
        call(*arguments)
    return error.value.failure.kind, error.value.failure.reason
