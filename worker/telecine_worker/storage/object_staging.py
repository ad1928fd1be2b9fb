"""What an attempt has in an object store before anything is visible: <output>/.telecine/<staging name>/FILE."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import ExitStack

from telecine_worker.failure import retryable
from telecine_worker.storage import disk_errors
from telecine_worker.storage.destination import StagedFile, Stopped
from telecine_worker.storage.fetch_errors import Broken, FetchStopped
from telecine_worker.storage.locations import STAGING_FOLDER
from telecine_worker.storage.object_store import Bucket
from telecine_worker.storage.object_upload import LEAST_PART_BYTES, WAITING_SECONDS, Upload
from telecine_worker.storage.pace import Tries, rest
from telecine_worker.storage.patience import Patience
from telecine_worker.storage.staging import Staging, owner_of, token_of
from telecine_worker.storage.store_errors import StoreRefusal
from telecine_worker.storage.store_places import StorePlace

# What S3 copies in one step.
LARGEST_COPY_BYTES = 5 << 30
# Names of metadata: letters alone get through all kinds of stores, and through what stands before them.
JOB_NOTE, TOKEN_NOTE, SHA256_NOTE = "telecinejob", "telecinetoken", "telecinesha256"
# The longest that an attempt may tidy up; it says itself when less is right. What is left then, the next attempt of the job
# removes.
TIDYING_SECONDS = 60.0


class ObjectStaging:
    """For one attempt: *local* is the folder on disk that FFmpeg writes into, *output* the prefix that results go below.

    Methods raise StoreRefusal and Broken, where they say nothing else.
    """

    def __init__(self, bucket: Bucket, output: StorePlace, local: Staging, patience: Patience) -> None:
        self.bucket = bucket
        self.output = output
        self.local = local
        self.patience = patience
        self._folder = output.below(STAGING_FOLDER, local.name)
        self._sent: set[str] = set()
        self._held: dict[str, Upload] = {}
        self._open = ExitStack()

    def key(self, file: StagedFile) -> str:
        """Where a staged file is."""
        return self._folder.below(*file.file_name.split("/")).key

    def notes(self, file: StagedFile) -> dict[str, str]:
        """What an object says of itself."""
        return {
            "Content-Type": file.media_type,
            JOB_NOTE: self.local.owner,
            TOKEN_NOTE: str(self.local.token),
            SHA256_NOTE: file.sha256,
        }

    def send(self, stopped: Stopped, file: StagedFile, target: str) -> None:
        """Bring the file to the store; one that is too large to be copied later to *target* itself, held."""
        if file.size_bytes > LARGEST_COPY_BYTES:
            self._hold(stopped, file, target)
            return
        self._folder.below(*file.file_name.split("/")).check_length(file.path)
        key = self.key(file)
        self._sent.add(key)
        if is_one_request(file):
            with self.bucket.loop.sending.holding(file.size_bytes, stopped):
                self.bucket.put(key, self._content(file), self.notes(file), stopped)
            return
        with self.local.reading(file.file_name, file.path) as fd:
            Upload(self.bucket, key, fd, self.notes(file), stopped).wait_there(stopped)

    def create(self, stopped: Stopped, file: StagedFile, target: str) -> None:
        """Put a small file at *target*, where nothing is. Raises Taken."""
        with self.bucket.loop.sending.holding(file.size_bytes, stopped):
            self.bucket.create(target, self._content(file), self.notes(file), stopped)

    def holds(self, file: StagedFile) -> bool:
        """Whether it waits in parts at its own place."""
        return file.path in self._held

    def complete(self, stopped: Stopped, file: StagedFile, may_complete: Callable[[], bool]) -> None:
        """Make a held file visible, where *may_complete* says so at the last moment. Raises FetchStopped where not; after
        that, AttemptFailed: its parts are gone.
        """
        upload = self._held[file.path]
        if upload.has_ended:
            raise retryable(
                "OUTPUT_UNAVAILABLE",
                f"{file.path}: the store did not put its parts together while it might be published",
            )
        upload.release(may_complete)
        upload.wait_there(stopped)

    def remove_older(self, stopped: Stopped) -> None:
        """What attempts of the same job with smaller tokens staged: they can publish nothing any more."""
        remove_older(self.bucket, self.output, self.local.name, stopped)

    def has_newer(self, stopped: Stopped) -> bool:
        """Whether an attempt of the same job with a greater token has staged something."""
        others = self.bucket.folders(self.output.below(STAGING_FOLDER).key, stopped)
        return any(owner_of(each) == self.local.owner and token_of(each) > self.local.token for each in others)

    def discard(self, stopped: Stopped) -> None:
        """Remove what was staged, here and in the store, until *stopped*. Safe to repeat. Raises OSError."""
        if self.local.folder_fd < 0:
            return
        try:
            self._give_up()
            tidy(self._remove, self.patience, stopped)
        finally:
            self._open.close()
            self.local.discard()

    def _give_up(self) -> None:
        for upload in self._held.values():
            upload.give_up()
        until = time.monotonic() + WAITING_SECONDS
        for upload in self._held.values():
            upload.wait_ended(max(0.0, until - time.monotonic()))

    def _remove(self, stopped: Stopped) -> None:
        if self._sent:
            self.bucket.delete(self._sent, stopped)
        self.remove_older(stopped)

    def _hold(self, stopped: Stopped, file: StagedFile, target: str) -> None:
        fd = self._open.enter_context(self.local.reading(file.file_name, file.path))
        upload = Upload(self.bucket, target, fd, self.notes(file), stopped, held=True)
        self._held[file.path] = upload
        upload.wait_sent(stopped)

    def _content(self, file: StagedFile) -> bytes:
        with self.local.reading(file.file_name, file.path) as fd:
            try:
                return os.pread(fd, file.size_bytes, 0)
            except OSError as error:
                raise disk_errors.write_failure(error, file.path) from error


def is_one_request(file: StagedFile) -> bool:
    """Whether it is sent in one piece."""
    return file.size_bytes <= LEAST_PART_BYTES


def remove_older(bucket: Bucket, output: StorePlace, name: str, stopped: Stopped) -> None:
    """Remove below *output* what attempts of the same job as *name*, with smaller tokens, staged."""
    stagings = output.below(STAGING_FOLDER)
    for other in bucket.folders(stagings.key, stopped):
        if owner_of(other) == owner_of(name) and token_of(other) < token_of(name):
            keys = bucket.keys(stagings.below(other).key, stopped)
            if keys:
                bucket.delete(keys, stopped)


def tidy(remove: Callable[[Stopped], None], patience: Patience, stopped: Stopped) -> None:
    """Run *remove*, again while its failures may be passing, until *stopped* or for as long as tidying may take. Raises
    OSError where something may have been left.
    """
    until, tries = time.monotonic() + TIDYING_SECONDS, Tries(patience)

    def over() -> bool:
        return stopped() or time.monotonic() > until

    try:
        while True:
            try:
                remove(over)
            except Broken:
                pause = tries.pause(None, 0)
                if pause is None:
                    raise
                rest(pause, over)
            else:
                return
    except (StoreRefusal, Broken, FetchStopped) as error:
        raise OSError(errno.EIO, f"the store {str(error) or 'did not answer in time'}") from None
