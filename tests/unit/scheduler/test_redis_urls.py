"""What a TELECINE_REDIS_URL says, and what is answered to one that is not right."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import SSLConnection

from telecine_scheduler.store.link import shown
from telecine_scheduler.store.servers import HostPort, Kind, parse_servers


def _ports(*ports: int, host: str = "h") -> tuple[HostPort, ...]:
    return tuple(HostPort(host=host, port=port) for port in ports)


@pytest.mark.parametrize(
    ("url", "kind", "ask", "service", "options"),
    [
        ("redis://h:1/2", Kind.ONE, (), "", {"host": "h", "port": 1, "db": 2}),
        ("redis+sentinel://h:1,h:2/jobs", Kind.SENTINEL, _ports(1, 2), "jobs", {"db": 0}),
        ("redis+sentinel://h/jobs/3", Kind.SENTINEL, _ports(26379), "jobs", {"db": 3}),
        ("redis+cluster://h,h:2", Kind.CLUSTER, _ports(6379, 2), "", {"db": 0}),
        ("redis+cluster://[::1]:2/", Kind.CLUSTER, _ports(2, host="::1"), "", {"db": 0}),
        (
            "redis+sentinel://me:my%2Fword@h:1/jobs", Kind.SENTINEL, _ports(1), "jobs",
            {"db": 0, "username": "me", "password": "my/word"},
        ),
        (
            "rediss+cluster://:word@h:1?ssl_cert_reqs=none", Kind.CLUSTER, _ports(1), "",
            {"db": 0, "password": "word", "ssl_cert_reqs": "none", "connection_class": SSLConnection},
        ),
    ],
)  # fmt: skip
def test_a_url_says_whom_to_ask(
    url: str, kind: Kind, ask: tuple[HostPort, ...], service: str, options: dict[str, Any]
) -> None:
    """Sentinels or nodes, the service, and what a connection to a server of the data needs."""
    servers = parse_servers(url)

    assert (kind, ask, service, options) == (servers.kind, servers.ask, servers.service, servers.options)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://h", "it must be one of redis://"),
        ("redis+other://h", "it must be one of redis://"),
        ("unix+sentinel:///s", "it must be one of redis://"),
        ("redis+sentinel://h:1,h:2", "it must name the service"),
        ("redis+sentinel://h:1/jobs/one", "its path is not right"),
        ("redis+cluster://h:1/1", "its path is not right"),
        ("redis+cluster://h:1?db=1", "its path is not right"),
        ("redis://h:1/one", "its path is not right"),
        ("redis+cluster://h:1,h:port", "what is in place 2 of its hosts is no HOST:PORT"),
        ("redis+cluster://h:1,", "what is in place 2 of its hosts is no HOST:PORT"),
        ("redis+cluster://h:99999", "what is in place 1 of its hosts is no HOST:PORT"),
        ("redis://h:port", "its port or one of its options is not right"),
        ("redis://h?db=one", "its port or one of its options is not right"),
        ("redis://h?foo=1", "of its options, foo cannot be set"),
        ("redis://h?socket_timeout=1", "of its options, socket_timeout cannot be set"),
        ("redis://h?max_connections=", "of its options, max_connections cannot be set"),
        ("redis://h?protocol=3&db=1", "of its options, protocol cannot be set"),
        ("redis://h?decode_responses=true", "of its options, decode_responses cannot be set"),
        ("redis+sentinel://h/jobs?retry=3", "of its options, retry cannot be set"),
        ("redis://h?ssl_cert_reqs=none", "of its options, ssl_cert_reqs cannot be set"),
        ("rediss://h?ssl_nonsense=1", "of its options, ssl_nonsense cannot be set"),
        ("rediss://h?ssl_cert_reqs=nonsense", "one of its options is not right"),
        ("redis://h?path=/s", "one of its options is not right"),
    ],
)
def test_a_wrong_url_is_explained(url: str, words: str) -> None:
    """In words that say what would be right."""
    with pytest.raises(ValueError, match=words.replace("+", r"\+")):
        parse_servers(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:12/secret@host:6379/0", "redis://:12#secret@host/0", "redis://user:12?secret@host:1/0",
        "redis+sentinel://:12/secret@h1:1,h2:2/jobs", "redis+sentinel://u:12@h1:1,u:secret@h2:2/jobs",
        "redis://host:1/0?password=12@secret", "redis://u:sec@ret@host:1", "redis://[:secret@host:1",
        "redis+cluster://:12[secret@h:1", "redis://me:secret", "redis+cluster://me:secret,h:1",
        "redis://h?ssl_secret!=1", "redis://h/secret",
    ],
)  # fmt: skip
def test_a_password_that_is_not_encoded_is_not_told(url: str) -> None:
    """A URL that is taken apart wrongly is refused, and no part of it is in the error or in a log."""
    with pytest.raises(ValueError, match=r"right|percent-encode|HOST:PORT|cannot be set") as wrong:
        parse_servers(url)

    assert "secret" not in str(wrong.value)
    if "@" in url:
        assert "secret" not in shown(url)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("redis://me:word@h:1/2?ssl_password=word#word", "redis://h:1/2"), ("unix:///run/redis?db=1", "unix:///run/redis"),
        ("redis://h:1/0", "redis://h:1/0"), ("redis://:12/word@h:1/0", "redis://..."),
    ],
)  # fmt: skip
def test_logs_say_where_redis_is(url: str, wanted: str) -> None:
    """And nothing that is behind or before it."""
    assert wanted == shown(url)


def test_a_password_is_not_shown() -> None:
    """Neither where a URL is logged, nor where what it says is printed, nor in an error about it."""
    url = "rediss+sentinel://me:secret@h:1,h:port/jobs?ssl_password=secret"

    with pytest.raises(ValueError, match="HOST:PORT") as wrong:
        parse_servers(url)

    said = (shown(url), repr(parse_servers(url.replace(",h:port", ""))), str(wrong.value))
    assert "rediss+sentinel://h:1,h:port/jobs" == said[0]
    assert "secret" not in "".join(said)
