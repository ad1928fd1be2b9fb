"""A verified file on its way to where one step makes it visible."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.storage.destination import Destination, StagedFile
from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.sources import sha256
from telecine_worker.verification import Checked

SMALL_BYTES = 8 << 20
SMALL_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One verified file, ready to be published."""

    expected: Expected
    info: MediaInfo | None
    size_bytes: int
    sha256: str

    @property
    def staged(self) -> StagedFile:
        """What its destination has to know of it."""
        return StagedFile(
            file_name=self.expected.file_name,
            path=self.expected.path,
            media_type=self.expected.media_type,
            size_bytes=self.size_bytes,
            sha256=self.sha256,
        )


def prepare_all(stopped: Callable[[], bool], destination: Destination, checked: Sequence[Checked]) -> list[Prepared]:
    """`prepare` each, in the order given; small files, of which a package has thousands, several at once."""
    small = [index for index, each in enumerate(checked) if _size(destination, each) <= SMALL_BYTES]
    prepared: dict[int, Prepared] = {}
    with ThreadPoolExecutor(SMALL_AT_ONCE) as pool:
        # What has not begun when one fails is not begun.
        made = pool.map(lambda index: prepare(stopped, destination, checked[index]), small)
        prepared.update(zip(small, made, strict=True))
    for index in set(range(len(checked))) - prepared.keys():
        prepared[index] = prepare(stopped, destination, checked[index])
    return [prepared[index] for index in range(len(checked))]


def _size(destination: Destination, checked: Checked) -> int:
    with destination.staging.reading(checked.expected.file_name, checked.expected.path) as fd:
        return os.fstat(fd).st_size


def prepare(stopped: Callable[[], bool], destination: Destination, checked: Checked) -> Prepared:
    """Take the checksum of a file, and bring it to its destination, where nothing of it is visible yet.

    Blocks, for a thread; *stopped* is asked often. Raises AttemptFailed, FetchStopped.
    """
    expected = checked.expected
    with destination.staging.reading(expected.file_name, expected.path) as fd:
        digest = sha256(fd, stopped)
        size = os.fstat(fd).st_size
    if digest is None:
        raise FetchStopped
    prepared = Prepared(expected=expected, info=checked.info, size_bytes=size, sha256=digest)
    destination.prepare(stopped, prepared.staged)
    return prepared
