"""Where an attempt writes before anything is visible: <output>/.telecine/<staging name>/, on the target's file system.

A staging name is tenant~job~generation~token. Only this folder, and the files that are renamed out of it, are ever
touched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator

from telecine_worker.failure import AttemptFailed, permanent, retryable
from telecine_worker.storage import disk_errors
from telecine_worker.storage.beneath import make_directories, open_beneath, open_regular
from telecine_worker.storage.locations import STAGING_FOLDER, FileRoots, Location

_ATTEMPTS = 8


class Staging:
    """The folders of one attempt, open. Made by :func:`open_staging`; :meth:`discard` ends it.

    All methods block for as long as the file system does: they are for a thread.
    """

    def __init__(self, *, location: Location, output_fd: int, folder_fd: int, name: str) -> None:
        self.location = location
        self.output_fd = output_fd
        self.folder_fd = folder_fd
        self.name = name

    @property
    def owner(self) -> str:
        """tenant~job: the part of the name that all attempts of the job share."""
        return owner_of(self.name)

    @property
    def token(self) -> int:
        """Of the attempt."""
        return token_of(self.name)

    @property
    def cwd(self) -> str:
        """The folder as a working directory for child processes, whatever happens to its path."""
        return f"/proc/{os.getpid()}/fd/{self.folder_fd}"

    def write_file(self, file_name: str, content: bytes) -> None:
        """Write a file of our own into the folder. Raises AttemptFailed."""
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(file_name, flags, 0o666, dir_fd=self.folder_fd), "wb") as file:
                file.write(content)
        except OSError as error:
            raise disk_errors.write_failure(error, file_name) from error

    def names(self) -> list[str]:
        """Everything in the folder. Raises AttemptFailed."""
        try:
            with os.scandir(self.folder_fd) as entries:
                return [entry.name for entry in entries]
        except OSError as error:
            raise disk_errors.write_failure(error, "the staging folder") from error

    def rename(self, file_name: str, other: str) -> None:
        """Give a staged file another name. Raises AttemptFailed."""
        try:
            os.rename(file_name, other, src_dir_fd=self.folder_fd, dst_dir_fd=self.folder_fd)
        except OSError as error:
            raise disk_errors.write_failure(error, file_name) from error

    def remove(self, file_name: str) -> None:
        """Remove a staged file. Raises AttemptFailed."""
        try:
            os.unlink(file_name, dir_fd=self.folder_fd)
        except OSError as error:
            raise disk_errors.write_failure(error, file_name) from error

    @contextlib.contextmanager
    def reading(self, file_name: str, what: str) -> Iterator[int]:
        """A descriptor of the staged file *file_name*, closed at the end. Raises as `open_file`."""
        fd = self.open_file(file_name, what)
        try:
            yield fd
        finally:
            os.close(fd)

    def open_file(self, file_name: str, what: str) -> int:
        """A descriptor of the staged file *file_name*. Raises AttemptFailed where it is not there any more."""
        try:
            return open_regular(self.folder_fd, (file_name,))
        except FileNotFoundError:
            raise (
                permanent("OUTPUT_EMPTY", f"{what} was not written") if self._is_in_place() else lost(what)
            ) from None
        except OSError as error:
            raise disk_errors.write_failure(error, what) from error

    def _is_in_place(self) -> bool:
        """Whether the folder still is where it was made: a newer attempt removes it with all it has."""
        try:
            found = os.stat(f"{STAGING_FOLDER}/{self.name}", dir_fd=self.output_fd, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self.folder_fd))

    def remove_older(self) -> None:
        """Remove what earlier attempts of the same job staged: a late rename of theirs then finds nothing.

        Raises AttemptFailed.
        """
        try:
            with self._stagings() as folder:
                _remove_older(folder, self.name)
        except OSError as error:
            raise disk_errors.write_failure(error, "the staging of an older attempt") from error

    def has_newer(self) -> bool:
        """Whether an attempt of the same job with a greater token has a staging here. Raises OSError."""
        try:
            with self._stagings() as folder, os.scandir(folder) as others:
                return any(owner_of(each.name) == self.owner and token_of(each.name) > self.token for each in others)
        except FileNotFoundError:
            return False

    def discard(self) -> None:
        """Remove the attempt's folder, those of older attempts, and the folder of stagings when it is empty.

        Safe to repeat. Raises OSError where something cannot be removed; it is closed all the same.
        """
        if self.folder_fd < 0:
            return
        try:
            with contextlib.suppress(FileNotFoundError), self._stagings() as folder:
                remove_tree(folder, self.name)
                _remove_older(folder, self.name)
                _remove_if_empty(self.output_fd)
        finally:
            os.close(self.folder_fd)
            os.close(self.output_fd)
            self.folder_fd = self.output_fd = -1

    @contextlib.contextmanager
    def _stagings(self) -> Iterator[int]:
        folder = open_beneath(self.output_fd, (STAGING_FOLDER,), os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield folder
        finally:
            os.close(folder)


def lost(what: str) -> AttemptFailed:
    """For a staged file that was there."""
    return retryable("STAGING_LOST", f"{what}: the staged file is gone; a newer attempt of the job has removed it")


def open_staging(roots: FileRoots, *, uri: str, name: str) -> Staging:
    """Make and open the output directory and the attempt's own folder in it.

    Raises AttemptFailed: PATH_NOT_ALLOWED, OUTPUT_NOT_WRITABLE, NO_SPACE, IO_ERROR.
    """
    location = roots.locate(uri, "output")
    try:
        root = location.open_root()
        try:
            output_fd = make_directories(root, location.parts)
        finally:
            os.close(root)
        try:
            folder_fd = _make_folder(output_fd, name)
        except OSError:
            os.close(output_fd)
            raise
    except OSError as error:
        raise disk_errors.write_failure(error, f"output ({location.path})") from error
    return Staging(location=location, output_fd=output_fd, folder_fd=folder_fd, name=name)


def discard_older(roots: FileRoots, *, uri: str, name: str) -> None:
    """What discarding the staging *name* does for older ones of its job, for an attempt that never opened a staging.

    Makes nothing. Raises OSError where something cannot be removed, AttemptFailed where *uri* is not allowed.
    """
    location = roots.locate(uri, "output")
    with contextlib.ExitStack() as opened:
        try:
            root = _closed_by(opened, location.open_root())
            output = _closed_by(opened, open_beneath(root, location.parts, os.O_RDONLY | os.O_DIRECTORY))
            folder = _closed_by(opened, open_beneath(output, (STAGING_FOLDER,), os.O_RDONLY | os.O_DIRECTORY))
        except (FileNotFoundError, NotADirectoryError):
            return
        _remove_older(folder, name)
        _remove_if_empty(output)


def _closed_by(opened: contextlib.ExitStack, fd: int) -> int:
    opened.callback(os.close, fd)
    return fd


def _remove_older(stagings: int, name: str) -> None:
    """Smaller tokens are always dead: whoever holds one can publish nothing any more."""
    for other in os.listdir(stagings):
        if owner_of(other) == owner_of(name) and token_of(other) < token_of(name):
            remove_tree(stagings, other)


def _remove_if_empty(output: int) -> None:
    with contextlib.suppress(OSError):
        # Not empty, or already gone: another attempt's affair.
        os.rmdir(STAGING_FOLDER, dir_fd=output)


def _make_folder(output_fd: int, name: str) -> int:
    """Another attempt that ends may remove the folder of stagings just when it is empty: then begin again."""
    for _ in range(_ATTEMPTS):
        try:
            stagings = make_directories(output_fd, (STAGING_FOLDER,), 0o700)
            try:
                remove_tree(stagings, name)
                return make_directories(stagings, (name,), 0o700)
            finally:
                os.close(stagings)
        except FileNotFoundError:
            continue
    raise OSError(errno.EIO, f"{STAGING_FOLDER} is removed again and again")


def remove_tree(directory: int, name: str) -> None:
    """Remove *name* below *directory* with all it holds; links are removed, not followed. Not there: nothing happens.

    Somebody else may be removing the same; what they were faster with does not end it.
    """
    for _ in range(_ATTEMPTS):
        try:
            shutil.rmtree(name, dir_fd=directory)
        except NotADirectoryError:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            if _is_there(directory, name):
                continue
        return
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name)


def _is_there(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def owner_of(staging_name: str) -> str:
    """tenant~job of a staging name; empty when it is none."""
    parts = staging_name.split("~")
    return "~".join(parts[:2]) if len(parts) == 4 else ""


def token_of(staging_name: str) -> int:
    """The token in a staging name; -1 when there is none."""
    token = staging_name.rpartition("~")[2]
    return int(token) if token.isascii() and token.isdigit() else -1
