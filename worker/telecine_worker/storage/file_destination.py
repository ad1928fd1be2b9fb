"""Outputs below a file root: staged beside the target, published by renaming."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from telecine_worker.storage.destination import StagedFile, Stopped, never
from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.locations import file_uri
from telecine_worker.storage.publishing import Publisher


class FileDestination:
    """See Destination."""

    def __init__(self, publisher: Publisher) -> None:
        self.staging = publisher.staging
        self._publisher = publisher
        # Those of this attempt that are there already.
        self._published: set[str] = set()

    def relative(self, path: str) -> str:
        """See Destination."""
        return "/".join(self._publisher.parts(path))

    def uri(self, path: str) -> str:
        """See Destination."""
        return file_uri(self._publisher.target(path))

    def check_inputs(self, paths: Sequence[str]) -> None:
        """See Destination."""
        self._publisher.check_inputs(paths)

    def check_free(self, stopped: Stopped, paths: Sequence[str]) -> None:  # noqa: ARG002 - it is soon done
        """See Destination."""
        self._publisher.check_free(paths)

    def prepare(self, stopped: Stopped, file: StagedFile) -> None:  # noqa: ARG002 - the kernel is not to be stopped
        """See Destination."""
        self._publisher.prepare(file.file_name, file.path)

    def remove_older(self, stopped: Stopped) -> None:  # noqa: ARG002 - it is soon done
        """See Destination."""
        self.staging.remove_older()

    def publish(self, stopped: Stopped, files: Sequence[StagedFile]) -> None:
        """See Destination."""
        left = [file for file in files if file.path not in self._published]
        for names_others, group in groupby(left, key=lambda file: file.names_others):
            for file in group:
                if stopped():
                    raise FetchStopped
                self._publisher.publish(file.file_name, file.path)
                self._published.add(file.path)
                if names_others:
                    self._publisher.sync()
            # On disk before anything is there that names them, and once for all of a folder.
            self._publisher.sync()

    def discard(self, stopped: Stopped = never) -> None:  # noqa: ARG002 - it is soon done
        """See Destination."""
        self.staging.discard()
