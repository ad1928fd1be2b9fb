"""Which version of a file a server sent, and whether a later answer goes on with the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from telecine_worker.storage.http_answer import Answer

# A file may change twice within the second of its Last-Modified; and the clocks of a server and of what stands before it
# differ. RFC 9110, section 8.8.2.2, asks for a second; RFC 7232 asked for a minute.
_SETTLED = timedelta(seconds=60)
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]*"')
# Goes back to servers, and not only to the one that sent it: only what looks like a date.
_DATE = re.compile(r"[A-Za-z0-9 ,:+-]{1,64}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVersion:
    """What the answer to a plain request said. *total* is None while the size is not known."""

    tag: str | None
    modified: str | None
    total: int | None
    validator: str | None
    """For If-Range: a strong ETag, or a Last-Modified that cannot mean two versions. None: no answer can go on."""

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """From a whole answer."""
        tag, modified = answer.header("etag"), answer.header("last-modified")
        return cls(tag=tag, modified=modified, total=answer.length, validator=_validator(answer, tag, modified))

    def differs(self, other: FileVersion) -> bool:
        """Whether both say something, and not the same."""
        pairs = ((self.tag, other.tag), (self.modified, other.modified), (self.total, other.total))
        return any(None not in pair and pair[0] != pair[1] for pair in pairs)

    def is_kept_by(self, answer: Answer) -> bool:
        """Whether a partial answer says nothing else. With a tag to compare, it has to repeat it (RFC 9110, 15.3.7)."""
        tag, modified = answer.header("etag"), answer.header("last-modified")
        if self.validator is not None and self.validator == self.tag:
            return tag == self.tag
        return modified in (None, self.modified) and tag in (None, self.tag)

    def ends_at(self, size: int, answer: Answer) -> bool:
        """Whether *answer*, a refusal (416) to go on at *size*, says that there is no more: by a strong tag and the size."""
        if self.tag is None or self.validator != self.tag or not self.is_kept_by(answer):
            return False
        return self.total in (None, size) and answer.header("content-range") == f"bytes */{size}"


def _validator(answer: Answer, tag: str | None, modified: str | None) -> str | None:
    if tag is not None and _STRONG_TAG.fullmatch(tag):
        return tag
    if modified is None or not _DATE.fullmatch(modified):
        return None
    date, then = answer.date("date"), answer.date("last-modified")
    return modified if date and then and date - then >= _SETTLED else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRange:
    """Which bytes a partial answer holds: from *begin* up to, not including, *end*; *total* is None where it is not said."""

    begin: int
    end: int
    total: int | None

    @classmethod
    def of(cls, answer: Answer) -> Self | None:
        """None where there is none, or one that cannot be."""
        match = _CONTENT_RANGE.fullmatch(answer.header("content-range") or "")
        if match is None:
            return None
        found = cls(begin=int(match[1]), end=int(match[2]) + 1, total=None if match[3] == "*" else int(match[3]))
        fits = found.begin < found.end and (found.total is None or found.end <= found.total)
        return found if fits else None
