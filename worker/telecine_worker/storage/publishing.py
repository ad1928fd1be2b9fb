"""Making staged files visible: each in one step, in the order given, only while the lease allows."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from telecine_worker.failure import AttemptFailed, permanent
from telecine_worker.storage import disk_errors
from telecine_worker.storage.beneath import make_directories, open_beneath
from telecine_worker.storage.staging import Staging, lost

OWNER_ATTRIBUTE = "user.telecine.job"
_RENAME_NOREPLACE = 1
_NO_ATTRIBUTES = frozenset({errno.ENOTSUP, errno.ENOSYS, errno.EPERM, errno.ENOSPC})

_libc = ctypes.CDLL(None, use_errno=True)


class WindowOver(Exception):
    """The permission to publish ended before this step."""


class Publisher:
    """Publishes for one attempt. *per_attempt*: under a folder named as the staging; else in place.

    *allowed* is asked right before every step that can be seen. *inputs* are the names of the job's inputs by device and
    inode: files that are never replaced. Methods block: they are for a thread. They may be
    repeated after WindowOver; a file that is published already stays so.
    """

    def __init__(
        self,
        staging: Staging,
        *,
        replace: bool,
        per_attempt: bool,
        allowed: Callable[[], bool],
        inputs: Mapping[tuple[int, int], str],
    ) -> None:
        self.staging = staging
        self._replace = replace
        self._folder = (staging.name,) if per_attempt else ()
        self._allowed = allowed
        self._inputs = inputs
        # What this attempt has put where nothing was, with device and inode.
        self._made: list[tuple[tuple[str, ...], tuple[int, int]]] = []
        # Folders with new names that may not be on disk.
        self._unsynced: set[tuple[str, ...]] = set()
        # Where somebody else's file was: then there is only taking back.
        self._taken: str | None = None

    def parts(self, path: str) -> tuple[str, ...]:
        """Where the artifact *path* goes, below the output."""
        return (*self._folder, *path.split("/"))

    def target(self, path: str) -> Path:
        """The same, absolute."""
        return self.staging.location.path.joinpath(*self.parts(path))

    def prepare(self, file_name: str, path: str) -> None:
        """Bring a staged file to disk and mark it as this job's. Nothing is visible yet."""
        with self.staging.reading(file_name, path) as fd:
            try:
                os.fsync(fd)
                _mark(fd, self.staging.owner)
            except OSError as error:
                raise disk_errors.write_failure(error, path) from error

    def check_inputs(self, paths: Sequence[str]) -> None:
        """Raise OUTPUT_EXISTS when an input of the job itself is at one of *paths*, whatever if_exists says."""
        for path in paths:
            name = self._input_at(self.parts(path))
            if name is not None:
                raise permanent("OUTPUT_EXISTS", f"{path} would replace input {name} of the job; choose another path")

    def check_free(self, paths: Sequence[str]) -> None:
        """With if_exists FAIL: raise OUTPUT_EXISTS when a file of somebody else is at one of *paths*, before anything
        changes.
        """
        if self._replace:
            return
        for path in paths:
            if self._is_foreign(self.parts(path)):
                raise already_there(path)

    def publish(self, file_name: str, path: str) -> None:
        """Make one file visible; `sync` brings it to disk. Raises WindowOver, or AttemptFailed; with OUTPUT_EXISTS what was
        published is taken back, and there is nothing else any more.
        """
        *folders, name = self.parts(path)
        try:
            if self._taken is not None:
                raise self._taken_back(self._taken)
            if not self._allowed():
                raise WindowOver
            directory = make_directories(self.staging.output_fd, folders)
            try:
                self._move(file_name, directory, name, path)
                self._unsynced.add(tuple(folders))
            finally:
                os.close(directory)
        except OSError as error:
            raise disk_errors.write_failure(error, path) from error

    def sync(self) -> None:
        """Bring to disk what was published since the last time. Raises AttemptFailed."""
        while self._unsynced:
            folders = next(iter(self._unsynced))
            try:
                directory = open_beneath(self.staging.output_fd, folders, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(directory)
                finally:
                    os.close(directory)
            except OSError as error:
                raise disk_errors.write_failure(error, "/".join(folders) or "the output") from error
            self._unsynced.discard(folders)

    def _move(self, file_name: str, directory: int, name: str, path: str) -> None:
        if not self._allowed():
            raise WindowOver
        source = self.staging.folder_fd
        try:
            if self._replace:
                os.rename(file_name, name, src_dir_fd=source, dst_dir_fd=directory)
                return
            inode = _inode(file_name, source)
            try:
                rename_new(file_name, name, source, directory)
            except FileExistsError:
                self._take_own_place(file_name, directory, name, path)
            else:
                self._made.append((self.parts(path), inode))
        except FileNotFoundError:
            raise lost(path) from None

    def _take_own_place(self, file_name: str, directory: int, name: str, path: str) -> None:
        """Something is there already. A crashed attempt of this same job does not count."""
        if self._is_foreign(self.parts(path)):
            self._taken = path
            raise self._taken_back(path)
        if not self._allowed():
            raise WindowOver
        os.rename(file_name, name, src_dir_fd=self.staging.folder_fd, dst_dir_fd=directory)

    def _taken_back(self, path: str) -> AttemptFailed:
        """FAIL changes nothing: remove what this attempt has put where nothing was, and nobody has replaced since; the failure
        to raise. Past the window, and where a newer attempt is at work, that is no longer for this attempt to decide:
        WindowOver, or nothing.
        """
        while self._made:
            if self.staging.has_newer():
                self._made.clear()
                break
            (*folders, name), inode = self._made[-1]
            with contextlib.suppress(FileNotFoundError):
                directory = open_beneath(self.staging.output_fd, folders, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    self._remove(name, directory, inode)
                finally:
                    os.close(directory)
            self._made.pop()
        return already_there(path)

    def _remove(self, name: str, directory: int, inode: tuple[int, int]) -> None:
        is_ours = _inode(name, directory) == inode
        if not self._allowed():
            raise WindowOver
        if is_ours:
            os.unlink(name, dir_fd=directory)

    def _input_at(self, parts: tuple[str, ...]) -> str | None:
        """The input that is at *parts*; what cannot be opened is none of them: they are open, and regular files."""
        try:
            fd = open_beneath(self.staging.output_fd, parts, os.O_PATH)
        except OSError:
            return None
        try:
            found = os.fstat(fd)
        finally:
            os.close(fd)
        return self._inputs.get((found.st_dev, found.st_ino))

    def _is_foreign(self, parts: tuple[str, ...]) -> bool:
        """Whether something that this job did not write is at *parts*."""
        try:
            fd = open_beneath(self.staging.output_fd, parts, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            return _owner(fd) != self.staging.owner
        finally:
            os.close(fd)


def _inode(name: str, directory: int) -> tuple[int, int]:
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return found.st_dev, found.st_ino


def rename_new(source: str, target: str, source_fd: int, target_fd: int) -> None:
    """Rename, but never over anything: FileExistsError. By renameat2, or by a link where the file system has no such
    rename.
    """
    done = _libc.renameat2(
        ctypes.c_int(source_fd),
        ctypes.c_char_p(os.fsencode(source)),
        ctypes.c_int(target_fd),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_uint(_RENAME_NOREPLACE),
    )
    if done == 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(code, os.strerror(code), target)
    os.link(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)
    os.unlink(source, dir_fd=source_fd)


def _mark(fd: int, owner: str) -> None:
    try:
        os.setxattr(fd, OWNER_ATTRIBUTE, owner.encode())
    except OSError as error:
        # Without attributes a repeated attempt cannot know its own files: with if_exists FAIL it then fails, which is
        # safe.
        if error.errno not in _NO_ATTRIBUTES:
            raise


def _owner(fd: int) -> str:
    try:
        return os.getxattr(fd, OWNER_ATTRIBUTE).decode(errors="replace")
    except OSError:
        return ""


def already_there(path: str) -> AttemptFailed:
    return permanent("OUTPUT_EXISTS", f"{path} exists already and if_exists is FAIL; remove it or choose another path")
