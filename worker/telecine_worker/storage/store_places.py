"""What an s3://, gs:// or az:// URI names, and whether it may be touched: only what lies below the operator's store roots."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes, urlsplit

from telecine_worker.failure import AttemptFailed, permanent, retryable
from telecine_worker.storage.locations import CONTROL, STAGING_FOLDER

SCHEMES = frozenset({"s3", "gs", "az"})
# All three kinds of stores have this limit.
LONGEST_KEY_BYTES = 1024
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}")
OUTPUT = "output"
"""What the place of an output is called; it alone may end with a slash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlace:
    """An object, or the prefix of some. *parts* are what stands between the slashes of its key; none is empty, "." or ".."."""

    scheme: str
    bucket: str
    parts: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """As the store has it."""
        return "/".join(self.parts)

    def below(self, *parts: str) -> StorePlace:
        """The place at *parts* under this one."""
        return StorePlace(scheme=self.scheme, bucket=self.bucket, parts=(*self.parts, *parts))

    def holds(self, other: StorePlace) -> bool:
        """Whether *other* is this place, or below it."""
        same = (self.scheme, self.bucket) == (other.scheme, other.bucket)
        return same and other.parts[: len(self.parts)] == self.parts

    def check_length(self, what: str) -> None:
        """Raise AttemptFailed PATH_NOT_ALLOWED where no store has room for such a key."""
        if len(self.key.encode()) > LONGEST_KEY_BYTES:
            raise permanent("PATH_NOT_ALLOWED", f"{what}: its key has more than {LONGEST_KEY_BYTES} bytes")

    def __str__(self) -> str:
        """The URI; there is nothing secret in it."""
        return f"{self.scheme}://{self.bucket}" + (f"/{quote(self.key)}" if self.parts else "")


def parse_store_root(text: str) -> StorePlace:
    """A root as the operator writes it, s3://bucket/prefix or gs://bucket. Raises ValueError."""
    scheme, separator, rest = text.partition("://")
    bucket, _, key = rest.rstrip("/").partition("/")
    parts = tuple(key.split("/")) if key else ()
    if scheme not in SCHEMES or not separator or not _BUCKET.fullmatch(bucket) or not _are_right(parts):
        raise ValueError(f"{text!r} is no store root; s3://BUCKET/PREFIX, gs://BUCKET or az://CONTAINER would be right")
    return StorePlace(scheme=scheme, bucket=bucket, parts=parts)


def parse_place(uri: str, what: str) -> StorePlace:
    """The place in a URI; *what* names it in messages ("input main"). Raises AttemptFailed PATH_NOT_ALLOWED."""
    if CONTROL.search(uri):
        raise _refused(what, "has a control character, which no key may have")
    try:
        split = urlsplit(uri)
    except ValueError:
        raise _refused(what, "is not a URI; s3://bucket/key would be right") from None
    if split.scheme not in SCHEMES or not _BUCKET.fullmatch(split.netloc):
        raise _refused(what, "names no bucket, or more than one: no user, no port; s3://bucket/key would be right")
    if "?" in uri or "#" in uri:
        raise _refused(what, "has a query or fragment; write ? as %3F and # as %23 where they are part of a key")
    try:
        path = unquote_to_bytes(split.path).decode().removeprefix("/")
    except UnicodeDecodeError:
        raise _refused(what, "is not UTF-8 after its percent signs are resolved") from None
    if what == OUTPUT and path != "/":
        path = path.removesuffix("/")
    parts = tuple(path.split("/")) if path else ()
    if not _are_right(parts):
        raise _refused(what, f"has an empty, '.', '..' or {STAGING_FOLDER} part, or a control character")
    place = StorePlace(scheme=split.scheme, bucket=split.netloc, parts=parts)
    place.check_length(what)
    return place


class StoreRoots:
    """The prefixes below which objects may be read and written; none means that every object store is refused."""

    def __init__(self, roots: Iterable[StorePlace] = ()) -> None:
        self._roots = tuple(roots)

    def __iter__(self) -> Iterator[StorePlace]:
        return iter(self._roots)

    def locate(self, uri: str, what: str) -> StorePlace:
        """The place that *uri* names. Raises AttemptFailed PATH_NOT_ALLOWED, retryable below no root of this worker."""
        place = parse_place(uri, what)
        if not any(root.holds(place) for root in self._roots):
            allowed = ", ".join(map(str, self._roots)) or "none are configured on this worker"
            raise retryable("PATH_NOT_ALLOWED", f"{what}: {place} is not below a store root ({allowed})")
        return place


def is_store(uri: str) -> bool:
    """Whether an object store is meant."""
    return uri.partition("://")[0] in SCHEMES


def _are_right(parts: tuple[str, ...]) -> bool:
    return not any(part in ("", ".", "..", STAGING_FOLDER) or CONTROL.search(part) for part in parts)


def _refused(what: str, why: str) -> AttemptFailed:
    return permanent("PATH_NOT_ALLOWED", f"{what}: the uri {why}")
