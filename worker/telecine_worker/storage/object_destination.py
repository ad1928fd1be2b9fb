"""Outputs in an object store: staged below <output>/.telecine/<staging name>/, published by copying within the store.

A copy finds its source or it fails: an attempt that wakes up late copies nothing, once a newer one has removed its staging.
A step that can be seen is given up when the window of publishing ends; what the store then still does is the store's.

Files too large to be copied in one step are sent to their place in parts, and completed when they may be visible. No store can
tell a late completion from one in time: there only the clock fences, and, with a layout per attempt, the place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from typing import TypeVar

from telecine_worker.failure import AttemptFailed, permanent
from telecine_worker.storage.destination import StagedFile, Stopped, never
from telecine_worker.storage.fetch_errors import Broken, FetchStopped
from telecine_worker.storage.object_staging import JOB_NOTE, SHA256_NOTE, TOKEN_NOTE, ObjectStaging, is_one_request
from telecine_worker.storage.object_store import Found
from telecine_worker.storage.pace import Tries, rest
from telecine_worker.storage.publishing import WindowOver, already_there
from telecine_worker.storage.staging import Staging, lost
from telecine_worker.storage.store_errors import Missing, StoreRefusal, Taken, write_failure
from telecine_worker.storage.store_places import StorePlace

PUBLISHED_AT_ONCE = 8
# With if_exists FAIL: what is sent once more, in the one request that all kinds of stores refuse where something is. A window
# is short; larger files are copied, which stores that are only like S3 may do over anything.
LARGEST_CREATED_BYTES = 1 << 20

T = TypeVar("T")


class ObjectDestination:
    """See Destination. *replace*, *per_attempt* and *allowed* are as Publisher has them; *inputs* has the names of the job's
    inputs by place.
    """

    def __init__(
        self,
        remote: ObjectStaging,
        *,
        replace: bool,
        per_attempt: bool,
        allowed: Callable[[], bool],
        inputs: Mapping[StorePlace, str],
    ) -> None:
        self._remote = remote
        self._bucket = remote.bucket
        self._replace = replace
        self._output = remote.output.below(remote.local.name) if per_attempt else remote.output
        self._folder = (remote.local.name,) if per_attempt else ()
        self._allowed = allowed
        self._inputs = inputs
        self._published: set[str] = set()
        # What this attempt has put where nothing was.
        self._made: list[str] = []
        # Where somebody else's file was: then there is only taking back.
        self._taken: str | None = None

    @property
    def staging(self) -> Staging:
        """The folder on the worker's own disk."""
        return self._remote.local

    def relative(self, path: str) -> str:
        """See Destination."""
        return "/".join((*self._folder, path))

    def uri(self, path: str) -> str:
        """See Destination."""
        return str(self._place(path))

    def check_inputs(self, paths: Sequence[str]) -> None:
        """See Destination."""
        for path in paths:
            place = self._place(path)
            place.check_length(path)
            name = self._inputs.get(place)
            if name is not None:
                raise permanent("OUTPUT_EXISTS", f"{path} would replace input {name} of the job; choose another path")

    def check_free(self, stopped: Stopped, paths: Sequence[str]) -> None:
        """See Destination."""
        if self._replace:
            return
        keys = [self._place(path).key for path in paths]
        found = self._repeated(stopped, lambda: self._bucket.heads(keys, stopped), "the output")
        for path, each in zip(paths, found, strict=True):
            if each is not None and self._is_foreign(each):
                raise already_there(path)

    def prepare(self, stopped: Stopped, file: StagedFile) -> None:
        """See Destination."""
        # Of an upload each part is repeated by itself.
        tries = Tries(self._remote.patience) if is_one_request(file) else Tries(replace(self._remote.patience, tries=1))
        target = self._place(file.path).key
        self._repeated(stopped, lambda: self._remote.send(stopped, file, target), file.path, tries=tries)

    def remove_older(self, stopped: Stopped) -> None:
        """See Destination."""
        self._repeated(stopped, lambda: self._remote.remove_older(stopped), "the staging of an older attempt")

    def publish(self, stopped: Stopped, files: Sequence[StagedFile]) -> None:
        """See Destination. Files that name no others become visible several at once."""
        if self._taken is not None:
            raise self._taken_back(stopped, self._taken)
        left = [file for file in files if file.path not in self._published]
        for names_others, group in groupby(left, key=lambda file: file.names_others):
            try:
                with ThreadPoolExecutor(1 if names_others else PUBLISHED_AT_ONCE) as pool:
                    list(pool.map(lambda file: self._publish(stopped, file), group))
            except Taken as taken:
                self._taken = str(taken)
                raise self._taken_back(stopped, self._taken) from None

    def discard(self, stopped: Stopped = never) -> None:
        """See Destination."""
        self._remote.discard(stopped)

    def _place(self, path: str) -> StorePlace:
        return self._output.below(*path.split("/"))

    def _publish(self, stopped: Stopped, file: StagedFile) -> None:
        """Raises Taken with the path where somebody else's file is in its place."""
        try:
            if self._replace:
                self._put_in_place(stopped, file, replace=True)
            else:
                self._create(stopped, file)
        except Missing:
            raise lost(file.path) from None
        except Taken:
            raise Taken(file.path) from None
        except StoreRefusal as refusal:
            raise write_failure(refusal, file.path) from refusal
        self._published.add(file.path)

    def _put_in_place(self, stopped: Stopped, file: StagedFile, *, replace: bool) -> None:
        key = self._place(file.path).key
        if self._remote.holds(file):
            self._visibly(stopped, lambda over: self._remote.complete(over, file, self._allowed), file.path)
        else:
            source = self._remote.key(file)
            self._visibly(stopped, lambda over: self._bucket.copy(source, key, over, replace=replace), file.path)

    def _create(self, stopped: Stopped, file: StagedFile) -> None:
        """Put it where nothing is; a file of a crashed attempt of this same job is replaced."""
        self._repeated(stopped, lambda: self._create_once(stopped, file), file.path, passing=(StoreRefusal,))

    def _create_once(self, stopped: Stopped, file: StagedFile) -> None:
        key = self._place(file.path).key
        try:
            # Stores that are like S3 may not know the condition of what follows, and overwrite.
            self._check_free(stopped, key)
            if file.size_bytes <= LARGEST_CREATED_BYTES:
                self._visibly(stopped, lambda over: self._create_if_staged(over, file, key), file.path)
            else:
                self._put_in_place(stopped, file, replace=False)
        except Taken:
            self._take_own_place(stopped, file, key)
        else:
            self._made.append(key)

    def _create_if_staged(self, over: Stopped, file: StagedFile, key: str) -> None:
        """Raises Missing where a newer attempt has removed the staged file: what is sent is on this machine still."""
        self._bucket.head(self._remote.key(file), over)
        if not self._allowed():
            raise WindowOver
        self._remote.create(over, file, key)

    def _check_free(self, stopped: Stopped, key: str) -> None:
        if self._look(stopped, key) is not None:
            raise Taken

    def _take_own_place(self, stopped: Stopped, file: StagedFile, key: str) -> None:
        """Something is there already. Replaced is only what was seen to be of this job."""
        found = self._look(stopped, key)
        if found is None:
            raise Broken("says that something is there, and then that nothing is")
        if self._is_foreign(found):
            raise Taken
        if self._is_mine(found) and found.notes.get(SHA256_NOTE) == file.sha256:
            # Put there by a request whose answer was lost.
            self._made.append(key)
            return
        self._put_in_place(stopped, file, replace=True)

    def _taken_back(self, stopped: Stopped, path: str) -> AttemptFailed:
        """FAIL changes nothing: remove what this attempt has put where nothing was, and nobody has replaced since; the failure
        to raise. Past the window, and where a newer attempt is at work, that is no longer for this attempt to decide:
        WindowOver, or nothing.
        """
        while self._made:
            if self._repeated(stopped, lambda: self._remote.has_newer(stopped), "the staging of a newer attempt"):
                self._made.clear()
                break
            key = self._made[-1]
            found = self._look(stopped, key)
            if found is not None and self._is_mine(found):
                self._visibly(stopped, lambda over: self._bucket.delete([key], over), key)  # noqa: B023 - called at once
            self._made.pop()
        return already_there(path)

    def _look(self, stopped: Stopped, key: str) -> Found | None:
        with suppress(Missing):
            return self._repeated(stopped, lambda: self._bucket.head(key, stopped), key, passing=(Missing,))
        return None

    def _is_foreign(self, found: Found) -> bool:
        return found.notes.get(JOB_NOTE) != self.staging.owner

    def _is_mine(self, found: Found) -> bool:
        return not self._is_foreign(found) and found.notes.get(TOKEN_NOTE) == str(self.staging.token)

    def _visibly(self, stopped: Stopped, step: Callable[[Stopped], None], what: str) -> None:
        """A step that can be seen: with permission, for each try and all its time. Raises WindowOver, StoreRefusal."""

        def allowed_step() -> None:
            if not self._allowed():
                raise WindowOver
            try:
                step(lambda: stopped() or not self._allowed())
            except FetchStopped:
                if stopped():
                    raise
                raise WindowOver from None

        self._repeated(stopped, allowed_step, what, passing=(StoreRefusal,))

    def _repeated(
        self, stopped: Stopped, step: Callable[[], T], what: str, *, passing: tuple[type[StoreRefusal], ...] = (),
        tries: Tries | None = None,
    ) -> T:  # fmt: skip
        """*step*, again while its failures may be passing. Raises AttemptFailed; the refusals in *passing* as they are."""
        tries = tries or Tries(self._remote.patience)
        while True:
            try:
                return step()
            except passing:
                raise
            except StoreRefusal as refusal:
                raise write_failure(refusal, what) from refusal
            except Broken as broken:
                pause = tries.pause(None, 0)
                if pause is None:
                    raise write_failure(broken, what) from broken
            rest(pause, stopped)
