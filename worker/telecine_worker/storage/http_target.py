"""What an http:// or https:// URL names, taken apart and checked. Nothing here, and no message, repeats a whole URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from urllib.parse import SplitResult, quote, urldefrag, urljoin, urlsplit

from telecine_worker.failure import AttemptFailed, permanent

LONGEST_URL = 8192
DEFAULT_PORTS = {"http": 80, "https": 443}
# What a request of ours says itself, and what belongs to a single hop (RFC 9110, section 7.6.1).
OWN_HEADERS = frozenset(
    {
        "accept-encoding", "connection", "content-length", "expect", "host", "if-match", "if-modified-since",
        "if-none-match", "if-range", "if-unmodified-since", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "range", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_NOT_IN_A_URL = re.compile(r"[^\x21-\x7e]|\\")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*\.?")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
# What a URL may hold as it is (RFC 3986), and the sign of what is encoded already.
_AS_IT_IS = "%:/?#[]@!$&'()*+,;=-._~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a request goes. *path* is what stands in the request, query included: it may hold a secret."""

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Who is spoken to: a caller's headers are for one origin alone."""
        return self.scheme, self.host, self.port

    @property
    def place(self) -> tuple[tuple[str, str, int], str]:
        """Where a file lies: without the query, because a signature in it is another one each time."""
        return self.origin, self.path.partition("?")[0]

    @property
    def authority(self) -> str:
        """The host as the Host header names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """For messages."""
        return f"{self.scheme}://{self.authority}"


def parse_target(url: str, what: str) -> Target:
    """The target of an input's URL; *what* names the input. Raises AttemptFailed INPUT_NOT_ALLOWED."""
    if _NOT_IN_A_URL.search(url) or len(url) > LONGEST_URL:
        raise _refused(what, f"has characters that no URL has, or more than {LONGEST_URL}; percent-encode them")
    if "#" in url:
        raise _refused(what, "has a fragment, which no server sees; leave it out, or write # as %23")
    return _target(_split(url, what, "the uri"), what, "the uri")


def redirected(target: Target, location: str, what: str) -> Target:
    """Where *target* sends us. Raises AttemptFailed INPUT_NOT_ALLOWED: for another scheme, and from https to http."""
    saying = f"the redirect of {target}"
    encoded = quote(location.encode("latin-1"), safe=_AS_IT_IS)
    if len(encoded) > LONGEST_URL or "\\" in location:
        raise permanent(
            "INPUT_NOT_ALLOWED", f"{what}: {saying} is no URL, or a URL of more than {LONGEST_URL} characters"
        )
    try:
        url = urldefrag(urljoin(f"{target}{target.path}", encoded)).url
    except ValueError:
        raise permanent("INPUT_NOT_ALLOWED", f"{what}: {saying} is no URL") from None
    found = _target(_split(url, what, saying), what, saying)
    if target.scheme == "https" and found.scheme == "http":
        raise permanent("INPUT_NOT_ALLOWED", f"{what}: {saying} leads from https to http; https would be right")
    return found


def check_headers(headers: Mapping[str, str], what: str) -> None:
    """Raise AttemptFailed OPTION_INVALID for a header that cannot be sent as a caller's. Values are never told."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise permanent("OPTION_INVALID", f"{what}: a header's name is not letters, digits and '-' only")
        if name.lower() in OWN_HEADERS:
            raise permanent("OPTION_INVALID", f"{what}: the header {name} is set by the worker itself; leave it out")
        if not _HEADER_VALUE.fullmatch(value):
            raise permanent("OPTION_INVALID", f"{what}: the header {name} has more than printable ASCII characters")
    if len({name.lower() for name in headers}) < len(headers):
        raise permanent("OPTION_INVALID", f"{what}: a header is there twice, in capital and in small letters")


def _split(url: str, what: str, saying: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise _refused(what, "is no URL; https://host/path would be right", saying) from None


def _target(split: SplitResult, what: str, saying: str) -> Target:
    if split.scheme not in DEFAULT_PORTS:
        raise _refused(what, "leads to another scheme than http and https", saying)
    if "@" in split.netloc:
        raise _refused(what, "has a user name; send credentials in headers, which are never shown", saying)
    host = split.hostname or ""
    if not _is_host(host, bracketed="[" in split.netloc):
        raise _refused(what, "has no host name in ASCII letters, digits, '-' and '.', and no [IPv6 address]", saying)
    try:
        port = DEFAULT_PORTS[split.scheme] if split.port is None else split.port
    except ValueError:
        port = 0
    if not port:
        raise _refused(what, "has a port that is none of 1 to 65535", saying)
    path = (split.path or "/") + (f"?{split.query}" if split.query else "")
    return Target(scheme=split.scheme, host=host, port=port, path=path)


def _is_host(host: str, *, bracketed: bool) -> bool:
    if not bracketed:
        return _NAME.fullmatch(host) is not None
    try:
        return IPv6Address(host).scope_id is None
    except ValueError:
        return False


def _refused(what: str, why: str, saying: str = "the uri") -> AttemptFailed:
    return permanent("INPUT_NOT_ALLOWED", f"{what}: {saying} {why}")
