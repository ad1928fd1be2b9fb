"""Where the files of an attempt go: what is the same for file roots and for object stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from telecine_worker.storage.staging import Staging

Stopped = Callable[[], bool]


def never() -> bool:
    """Nobody stops it."""
    return False


# Files that name others: these have to be there before.
_NAMES_OTHERS = frozenset({"application/vnd.apple.mpegurl", "application/dash+xml", "text/vtt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """A file of the staging folder that is to be published at *path*. *sha256* is lower-case hex."""

    file_name: str
    path: str
    media_type: str
    size_bytes: int
    sha256: str

    @property
    def names_others(self) -> bool:
        """Whether it is of a type that refers to other files, as playlists are."""
        return self.media_type in _NAMES_OTHERS


class Destination(Protocol):
    """The output of one attempt. Methods block, for a thread; *stopped* is asked often, and ends them by FetchStopped.

    Nothing is visible before `publish`, which asks for permission right before every step that can be seen.
    """

    @property
    def staging(self) -> Staging:
        """The folder that FFmpeg writes into."""

    def relative(self, path: str) -> str:
        """Where the artifact *path* is below the output."""

    def uri(self, path: str) -> str:
        """The same, whole."""

    def check_inputs(self, paths: Sequence[str]) -> None:
        """Raise AttemptFailed OUTPUT_EXISTS where an input of the job itself is at one of *paths*, whatever if_exists says;
        PATH_NOT_ALLOWED where a path cannot be.
        """

    def check_free(self, stopped: Stopped, paths: Sequence[str]) -> None:
        """With if_exists FAIL: raise AttemptFailed OUTPUT_EXISTS where a file of somebody else is at one of *paths*."""

    def prepare(self, stopped: Stopped, file: StagedFile) -> None:
        """Bring a file to where one step makes it visible. Raises AttemptFailed, FetchStopped."""

    def remove_older(self, stopped: Stopped) -> None:
        """Remove what earlier attempts of the same job staged: what they do late then finds nothing. Raises AttemptFailed."""

    def publish(self, stopped: Stopped, files: Sequence[StagedFile]) -> None:
        """Make files visible, each that names others after all before it. Raises WindowOver, after which it may be repeated,
        and AttemptFailed; with OUTPUT_EXISTS what was published is taken back.
        """

    def discard(self, stopped: Stopped = never) -> None:
        """Remove what this attempt and older ones staged, in a store until *stopped*. Safe to repeat. Raises OSError where
        something cannot be removed.
        """
