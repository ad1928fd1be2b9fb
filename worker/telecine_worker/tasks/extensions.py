"""What is made follows the extension of its path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from telecine_worker.failure import permanent

T = TypeVar("T")


def by_extension(known: Mapping[str, T], path: str) -> T:
    """That of *known* whose extension, in lower case, *path* has. Raises AttemptFailed UNSUPPORTED_CONTAINER."""
    found = known.get(path.rpartition("/")[2].rpartition(".")[2].lower())
    if found is None:
        raise permanent(
            "UNSUPPORTED_CONTAINER", f"path {path!r} has no known extension; one of {', '.join(known)} would be right"
        )
    return found
