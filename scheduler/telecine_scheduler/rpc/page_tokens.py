"""Tokens that callers hand back: a place in something, bound to the request it belongs to.

A token is checked so that a mistake is told at once, and not kept secret: whoever makes one up gets nothing that he could not
ask for without it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Collection, Mapping

from telecine_scheduler.domain.errors import InvalidRequest, Violation

_CHECK_BYTES = 8
# Part of every check: another meaning of the rest gets another number.
_VERSION = 1


def binding(*parts: str | Collection[str] | Mapping[str, str]) -> str:
    """What a token is bound to; the order of collections and mappings makes no difference."""
    return json.dumps([_ordered(part) for part in parts])


def _ordered(part: str | Collection[str] | Mapping[str, str]) -> object:
    if isinstance(part, str):
        return part
    return sorted(part.items()) if isinstance(part, Mapping) else sorted(part)


def sealed(place: str, bound_to: str) -> str:
    """A token for *place*, safe in a URL."""
    content = place.encode()
    return base64.urlsafe_b64encode(_check(content, bound_to) + content).rstrip(b"=").decode()


def opened(field: str, token: str, bound_to: str) -> str:
    """The place that *token* stands for. Raises InvalidRequest, naming *field*, for one that is none of ours or another's."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        check, content = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if check == _check(content, bound_to):
            return content.decode()
    except (binascii.Error, ValueError):
        pass
    raise not_ours(field)


def not_ours(field: str) -> InvalidRequest:
    """A token cannot be used with this request."""
    description = "is no token of an answer to the same request; pass it on unchanged, with the same other fields"
    return InvalidRequest([Violation(field=field, description=description)])


def _check(content: bytes, bound_to: str) -> bytes:
    parts = (str(_VERSION).encode(), bound_to.encode(), content)
    return hashlib.blake2b(b"\0".join(parts), digest_size=_CHECK_BYTES).digest()
