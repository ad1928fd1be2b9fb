"""URLs, redirects and headers: what is sent where, and what is refused without being repeated."""

from __future__ import annotations

import pytest

from telecine_worker.failure import AttemptFailed
from telecine_worker.storage.http_fetch import Request
from telecine_worker.storage.http_target import (
    LONGEST_URL,
    Target,
    check_headers,
    parse_target,
    redirected,
)

WHAT = "input main"
SECRET = "hunter2"
OURS = [
    *("accept-encoding", "connection", "content-length", "expect", "host", "if-match", "if-modified-since"),
    *("if-none-match", "if-range", "if-unmodified-since", "keep-alive", "proxy-authenticate", "proxy-authorization"),
    *("proxy-connection", "range", "te", "trailer", "transfer-encoding", "upgrade"),
]


@pytest.mark.parametrize(
    ("url", "origin", "path", "authority"),
    [
        ("http://h", ("http", "h", 80), "/", "h"),
        ("https://Films.Example/a%20b.mp4?x=1&y", ("https", "films.example", 443), "/a%20b.mp4?x=1&y", "films.example"),
        ("https://h:8443/a", ("https", "h", 8443), "/a", "h:8443"),
        ("http://[2606:4700::1]:8080/a?b", ("http", "2606:4700::1", 8080), "/a?b", "[2606:4700::1]:8080"),
        ("http://h:80?q", ("http", "h", 80), "/?q", "h"),
        ("https://a_b.c./x", ("https", "a_b.c.", 443), "/x", "a_b.c."),
    ],
)
def test_a_url_is_taken_apart(url: str, origin: tuple[str, str, int], path: str, authority: str) -> None:
    """Scheme, host and port as they are compared, and what stands in the request."""
    target = parse_target(url, WHAT)
    assert (origin, path, authority) == (target.origin, target.path, target.authority)
    assert "?" not in str(target)


@pytest.mark.parametrize(
    "url",
    [
        *(f"http://user:{SECRET}@h/x", f"http://{SECRET}@h/x", "http://@h/x"),
        *(f"http://h/x?{SECRET}#f", f"http://h:0/{SECRET}", f"http://h:65536/{SECRET}", f"http://h:x/{SECRET}"),
        *(f"http:///{SECRET}", f"http://[::1/{SECRET}", f"http://[fe80::1%25eth0]/{SECRET}", f"http://[v1.x]/{SECRET}"),
        *(f"http://h\\@evil/{SECRET}", f"http://h/{SECRET}\r\nX: y", f"http://h/a b{SECRET}", f"http://ħ/{SECRET}"),
        *(f"http://a..b/{SECRET}", f"http://.a/{SECRET}", f"http://{'a' * 64}/{SECRET}", f"http://%31/{SECRET}"),
        *(f"http://①②⑦.⓪.⓪.①/{SECRET}", f"ftp://h/{SECRET}", f"http://h/{SECRET}" + "a" * LONGEST_URL),
    ],
)
def test_a_url_that_is_not_plain_is_refused(url: str) -> None:
    """User names, fragments, ports and hosts that cannot be, what is read differently by different readers; never repeated."""
    with pytest.raises(AttemptFailed, match="INPUT_NOT_ALLOWED: input main") as error:
        parse_target(url, WHAT)
    assert SECRET not in str(error.value)


FROM = parse_target(f"https://h/a/b?{SECRET}", WHAT)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("c", "https://h/a/c"),
        ("/c?d", "https://h/c?d"),
        ("?d", "https://h/a/b?d"),
        ("//other/c", "https://other/c"),
        ("https://other:8443/c#part", "https://other:8443/c"),
        ("/ä b", "https://h/%E4%20b"),
        ("/\r\nX: y", "https://h/%0D%0AX:%20y"),
    ],
)
def test_a_redirect_is_followed_as_it_is_meant(location: str, url: str) -> None:
    """Relative or not; a fragment is for readers, and what no URL has is encoded."""
    assert parse_target(url, WHAT) == redirected(FROM, location, WHAT)


@pytest.mark.parametrize(
    "location",
    [
        *("http://h/c", "file:///etc/passwd", "ftp://h/c", "gopher://h/", "data:,x", "http://u:p@h/c", "https://u@h/"),
        *("https://[::1/", "https://h:0/", "https://h\\@evil/", "https://h/" + "a" * LONGEST_URL),
    ],
)
def test_a_redirect_to_somewhere_else_is_refused(location: str) -> None:
    """From https to http, to another scheme, with a user name, or to nothing."""
    with pytest.raises(AttemptFailed, match="INPUT_NOT_ALLOWED") as error:
        redirected(FROM, location, WHAT)
    assert SECRET not in str(error.value)


def test_a_redirect_from_http_may_go_to_both() -> None:
    """Up to https, and to http again."""
    start = Target(scheme="http", host="h", port=80, path="/")
    assert ["https", "http"] == [redirected(start, f"{scheme}://h/", WHAT).scheme for scheme in ("https", "http")]


@pytest.mark.parametrize(
    "headers",
    [
        *({name.title(): SECRET} for name in OURS),
        *({"X": f"{SECRET}\r\nY: z"}, {"X": f"{SECRET}\0"}, {"X": f"ä{SECRET}"}, {"X Y": SECRET}, {"": SECRET}),
        {"Cookie": SECRET, "cookie": SECRET},
    ],
)
def test_a_header_that_is_not_the_callers_is_refused(headers: dict[str, str]) -> None:
    """What the fetch says itself, what would end a line, and what stands there twice; values are never told."""
    with pytest.raises(AttemptFailed, match="OPTION_INVALID: input main") as error:
        check_headers(headers, WHAT)
    assert SECRET not in str(error.value)


def test_what_may_be_secret_is_not_shown() -> None:
    """Neither by what a request goes to, nor by what was asked for, should either get into a log or a traceback."""
    request = Request(name="main", url=f"https://h/a?{SECRET}", headers={"X": SECRET}, max_bytes=1)
    assert SECRET not in f"{FROM!r} {request!r}"


def test_a_place_is_the_same_whatever_the_query() -> None:
    """And another one with another path, port, host or scheme."""
    urls = ("https://h/a?b", "https://h/b?b", "https://h:1/a?b", "https://i/a?b", "http://h:443/a?b")
    assert parse_target("https://h/a?c", WHAT).place == parse_target(urls[0], WHAT).place
    assert len(urls) == len({parse_target(url, WHAT).place for url in urls})


def test_other_headers_are_the_callers() -> None:
    """Credentials, cookies, and even the name of the agent."""
    check_headers({"Authorization": "Bearer x", "Cookie": "a=b;\tc", "User-Agent": "x", "X-Api-Key": ""}, WHAT)
