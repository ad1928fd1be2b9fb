"""Where inputs come from and outputs go: what can be seen of a URI, and of the headers that are sent to it.

Nothing here repeats a URI, a query or a header's value in what it says: they may hold secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import SplitResult, unquote, urlsplit

from telecine.v1 import media_pb2
from telecine_scheduler.domain.errors import Violation

HTTP = frozenset({"http", "https"})
STORES = frozenset({"s3", "gs", "az"})
# What the fetch says itself, and what belongs to a single hop (RFC 9110, 7.6.1).
RESERVED_HEADERS = frozenset(
    {
        "accept-encoding", "connection", "content-length", "expect", "host", "if-match", "if-modified-since",
        "if-none-match", "if-range", "if-unmodified-since", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "range", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
# Where workers keep what is not published yet; nothing of a spec lies there.
_STAGING_FOLDER = ".telecine"
_NO_URI_CHARACTER = re.compile(r"[^\x21-\x7e]|\\")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_HEADER_CHARACTER = re.compile(r"[^\t\x20-\x7e]")


def uri_violations(spec: media_pb2.JobSpec) -> Iterator[Violation]:
    """What is wrong with the spec's URIs and headers, beyond the rules of the .proto."""
    for name, source in spec.inputs.items():
        field = f'spec.inputs["{name}"]'
        yield from _uri(f"{field}.uri", source.uri, is_output=False)
        yield from _headers(f"{field}.headers", source)
    if spec.HasField("output"):
        yield from _uri("spec.output.uri", spec.output.uri, is_output=True)


def _uri(field: str, uri: str, *, is_output: bool) -> Iterator[Violation]:
    try:
        parts = urlsplit(uri)
    except ValueError:
        yield Violation(field=field, description="is no valid URI")
        return
    if parts.scheme not in HTTP and _CONTROL.search(uri):
        # Taking it apart has dropped some of them.
        yield Violation(field=field, description="has a control character; write it percent-encoded")
    elif parts.scheme == "file":
        yield from _file(field, parts)
    elif parts.scheme in HTTP:
        yield from (Violation(field=field, description=text) for text in _http(uri, parts))
    elif parts.scheme in STORES:
        yield from (Violation(field=field, description=text) for text in _store(uri, parts, is_output=is_output))


def _file(field: str, parts: SplitResult) -> Iterator[Violation]:
    try:
        path = unquote(parts.path, errors="strict")
    except ValueError:
        yield Violation(field=field, description="is no valid URI: its path is not UTF-8")
        return
    if parts.query or parts.fragment:
        yield Violation(field=field, description="a file:// URI has no query or fragment; write ? as %3F and # as %23")
    elif "\0" in path or ".." in path.split("/"):
        yield Violation(field=field, description="a file:// path has no '..' part and no NUL character")
    elif _STAGING_FOLDER in path.split("/"):
        yield Violation(field=field, description=f"has a {_STAGING_FOLDER} part: such folders are the workers' own")


def _http(uri: str, parts: SplitResult) -> Iterator[str]:
    if _NO_URI_CHARACTER.search(uri):
        yield "has a character that a URI does not have; write it percent-encoded, and a host's name in ASCII"
    if "@" in parts.netloc:
        yield "has a user name; send credentials in headers, which are never shown"
    if "#" in uri:
        yield "has a fragment, which no server sees; leave it out, or write # as %23"
    if not parts.hostname:
        yield "names no host"
    try:
        valid = parts.port is None or parts.port > 0
    except ValueError:
        valid = False
    if not valid:
        yield "has a port that is none of 1 to 65535"


def _store(uri: str, parts: SplitResult, *, is_output: bool) -> Iterator[str]:
    """What the worker would refuse, too."""
    if not _BUCKET.fullmatch(parts.netloc):
        yield "names no bucket in small letters, digits, '.', '_' and '-', or more than one: no user, no port"
    if "?" in uri or "#" in uri:
        yield "has a query or fragment, and an object has none; write ? as %3F and # as %23"
        return
    try:
        key = unquote(parts.path, errors="strict").removeprefix("/")
    except ValueError:
        yield "is no valid URI: its key is not UTF-8"
        return
    if is_output and key != "/":
        key = key.removesuffix("/")
    if key and (_CONTROL.search(key) or any(part in ("", ".", "..", _STAGING_FOLDER) for part in key.split("/"))):
        yield f"has an empty, '.', '..' or {_STAGING_FOLDER} part in its key, or a control character"


def _headers(field: str, source: media_pb2.Input) -> Iterator[Violation]:
    if source.headers and source.uri.partition(":")[0].lower() not in HTTP:
        yield Violation(field=field, description="are for http:// and https:// only; leave them out")
        return
    seen: set[str] = set()
    for name in sorted(source.headers):
        where, lower = f'{field}["{name}"]', name.lower()
        if lower in RESERVED_HEADERS:
            yield Violation(field=where, description="is set by the fetch itself; leave it out")
        if lower in seen:
            yield Violation(field=where, description="stands there twice, written in another way")
        seen.add(lower)
        if _NO_HEADER_CHARACTER.search(source.headers[name]):
            yield Violation(field=where, description="may have printable ASCII characters, spaces and tabs only")
