"""What is never reached, whatever a URL, a name service or a redirect says; and what no message repeats."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from support.fetching import HERE, Connecting, Fetching, network, resolving
from support.http_server import Film, HttpServer, status
from telecine_worker.failure import FailureKind
from telecine_worker.storage import address_guard
from telecine_worker.storage.address_guard import AddressGuard, parse_network
from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.resolving import Endpoint

FILM = Film(content=b"film")
REFUSED = (FailureKind.PERMANENT, "INPUT_NOT_ALLOWED")
# What the system's resolver, a URL parser or a network takes for 127.0.0.1 or for this machine.
SPELLINGS = [
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "0", "0.0.0.0"),
    *("127.0.0.1.", "localhost", "LOCALHOST", "127.255.255.254", "127.1.2.3", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]"),
    *("[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]"),
    *("169.254.169.254", "0xa9fea9fe", "[64:ff9b::a9fe:a9fe]", "[::ffff:169.254.169.254]", "192.0.0.192", "[fe80::1]"),
    *("10.0.0.1", "192.168.0.1", "100.100.100.200", "168.63.129.16", "[fd00:ec2::254]", "224.0.0.1"),
]  # fmt: skip
# What some resolvers take for an address too, and what each machine has a file for.
NAMES = resolving({"127.0.0.1.": ["127.0.0.1"], "localhost": ["127.0.0.1", "::1"]})


@pytest.fixture
def fetching(tmp_path: Path) -> Iterator[Fetching]:
    """A worker as it is by default: nothing here may be reached."""
    made = Fetching(directory=tmp_path, network=network())
    yield made
    assert [] == made.left()


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    """Listens where nobody may go."""
    async with HttpServer(FILM) as server:
        yield server


@pytest.fixture
def connecting() -> Connecting:
    """Connects to nothing at all."""
    return Connecting(real=())


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_a_private_address_is_reached(fetching, connecting, host):
    """Refused for good because of the address, at a port where a public one would be asked; nothing is connected to."""
    fetching.network = network(resolve=NAMES, connect=connecting)
    failure = await fetching.failure(f"http://{host}/film.mp4")
    assert REFUSED == (failure.kind, failure.reason)
    assert "an address that is not public" in failure.message
    assert [] == connecting.noted


@pytest.mark.parametrize("host", ["①②⑦.⓪.⓪.①", "127。0。0。1", "127%2e0.0.1"])
async def test_a_host_that_readers_read_differently_is_not_asked_for(fetching, connecting, host):
    """Some resolvers take it for 127.0.0.1: it never gets to one."""
    asked = []

    def resolve(host: str, port: int) -> list[Endpoint]:
        asked.append(host)
        return []

    fetching.network = network(resolve=resolve, connect=connecting)
    failure = await fetching.failure(f"http://{host}/film.mp4")
    assert REFUSED == (failure.kind, failure.reason)
    assert [] == asked


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["::1"]])
async def test_a_name_that_leads_inside_is_refused(fetching, connecting, addresses):
    """Even beside a public address, and in either order; the message names the host, not where it leads."""
    fetching.network = network(resolve=resolving({"films.test": addresses}), connect=connecting)
    for scheme in ("http", "https"):
        failure = await fetching.failure(f"{scheme}://films.test/film.mp4")
        assert REFUSED == (failure.kind, failure.reason)
        assert "films.test" in failure.message
        assert "an address that is not public" in failure.message
        assert not [address for address in addresses if address in failure.message]
    assert [] == connecting.noted


async def test_a_public_address_is_connected_to(fetching, connecting):
    """At the port of the scheme: what is refused above is refused because of where it leads."""
    fetching.network = network(resolve=resolving({"films.test": ["8.8.8.8", "2606:4700::1111"]}), connect=connecting)
    fetching.patience(tries=1)
    failure = await fetching.failure("http://films.test/film.mp4")
    assert "INPUT_UNAVAILABLE" == failure.reason
    assert ["8.8.8.8", "2606:4700::1111"] == connecting.noted


async def test_a_port_that_is_no_web_server_is_refused_in_public(fetching, connecting):
    """Before any connection."""
    fetching.network = network(connect=connecting)
    failure = await fetching.failure("http://8.8.8.8:6379/film.mp4")
    assert REFUSED == (failure.kind, failure.reason)
    assert "6379" in failure.message
    assert [] == connecting.noted


async def test_the_workers_own_public_address_is_not_asked(fetching, server, monkeypatch):
    """Nothing says of it that it is the worker's own, but that both sides of the connection have it."""
    # This machine has no public address that a test could listen at: here, what it has counts as public.
    monkeypatch.setattr(address_guard, "_NOT_PUBLIC_4", ())
    monkeypatch.setattr(address_guard, "PUBLIC_PORTS", (server.port,))
    failure = await fetching.failure(server.url)
    assert REFUSED == (failure.kind, failure.reason)
    assert "the worker's own machine" in failure.message
    assert [] == server.asked
    async with HttpServer(FILM, host="127.0.0.2") as another:
        monkeypatch.setattr(address_guard, "PUBLIC_PORTS", (another.port,))
        assert b"film" == await fetching.fetch(another.url)


async def test_what_was_resolved_is_what_is_connected_to(fetching, server):
    """A name that leads elsewhere each time it is asked for is asked once a request, and the answer kept."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    asked = []

    def resolve(host: str, port: int) -> list[Endpoint]:
        asked.append(host)
        return [Endpoint(socket.AF_INET, (address, port)) for address in next(answers)]

    fetching.network = network("127.0.0.1/32", resolve=resolve)
    assert b"film" == await fetching.fetch(f"http://films.test:{server.port}/film.mp4")
    assert ["films.test"] == asked
    assert f"films.test:{server.port}" == server.asked[0].headers["host"]


async def test_every_try_is_checked_anew(fetching):
    """The name leads to an allowed address first and then, for the second try, to a forbidden one."""
    answers = iter(["127.0.0.1", "127.0.0.2"])
    async with HttpServer(status(503), FILM) as server:
        fetching.network = network(
            "127.0.0.1/32", resolve=lambda host, port: [Endpoint(socket.AF_INET, (next(answers), port))]
        )
        failure = await fetching.failure(f"http://films.test:{server.port}/film.mp4")
    assert REFUSED == (failure.kind, failure.reason)
    assert 1 == server.connection_count


NOT_PUBLIC = "an address that is not public"


@pytest.mark.parametrize(
    ("location", "says"),
    [
        *((f"http://{host}/x", NOT_PUBLIC) for host in ("127.0.0.1", "169.254.169.254", "2130706433", "[::1]")),
        *((f"https://{host}/x", NOT_PUBLIC) for host in ("10.0.0.1", "0x7f.1")),
        ("//localhost:80/x", NOT_PUBLIC),
        *((f"{scheme}://8.8.8.8/x", "another scheme") for scheme in ("file", "ftp", "gopher")),
        ("file:///etc/passwd", "another scheme"),
        ("http://u:p@8.8.8.8/x", "a user name"),
    ],
)
async def test_a_redirect_is_checked_as_the_first_request_is(fetching, location, says):
    """From a host that is allowed to one that is not, and to another scheme: nothing is connected to there."""
    connecting = Connecting(real=("127.0.0.2/32",))
    async with HttpServer(status(302, Location=location), host="127.0.0.2") as server:
        fetching.network = network("127.0.0.2/32", resolve=NAMES, connect=connecting)
        failure = await fetching.failure(server.url)
    assert REFUSED == (failure.kind, failure.reason)
    assert says in failure.message
    assert [] == connecting.noted
    assert 1 == server.connection_count


async def test_three_redirects_are_followed_and_no_fourth(fetching):
    """Each kind of redirect, relative and absolute."""
    fetching.network = network(*HERE)
    async with HttpServer(status(301, Location="a"), status(307, Location="/b?c=1"), FILM) as server:
        server.script.insert(2, status(303, Location=f"//127.0.0.1:{server.port}/d"))
        assert b"film" == await fetching.fetch(server.url)
        assert ["/film.mp4", "/a", "/b?c=1", "/d"] == [asked.path for asked in server.asked]
    async with HttpServer(status(308, Location="/again")) as server:
        failure = await fetching.failure(server.url)
        assert 4 == server.connection_count
    assert (FailureKind.PERMANENT, "INPUT_UNREADABLE") == (failure.kind, failure.reason)


async def test_headers_stay_with_their_origin(fetching):
    """On the same host and port they are sent again; to another one, and from there on, they are not."""
    fetching.network = network(*HERE)
    secret = {"Authorization": "Bearer hunter2", "X-Api-Key": "hunter2"}
    async with HttpServer(FILM) as back, HttpServer(status(302, Location=back.url)) as other:
        script = (status(302, Location="/again"), status(302, Location=other.url))
        async with HttpServer(*script) as server:
            assert b"film" == await fetching.fetch(server.url, headers=secret)
    assert [True, True] == [set(asked.headers) >= {"authorization", "x-api-key"} for asked in server.asked]
    for asked in (*other.asked, *back.asked):
        assert "hunter2" not in str(asked)


async def test_a_name_that_is_not_known_is_asked_for_again(fetching):
    """As often as there are tries, with pauses; then it is left to the queue: it may be known later."""
    asked = []

    def resolve(host: str, port: int) -> list[Endpoint]:
        asked.append(time.monotonic())
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    fetching.network = network(resolve=resolve)
    fetching.patience(tries=3, first_pause=timedelta(seconds=0.1), longest_pause=timedelta(seconds=0.1))
    failure = await fetching.failure("http://films.invalid/film.mp4")
    assert (FailureKind.RETRYABLE, "INPUT_UNAVAILABLE") == (failure.kind, failure.reason)
    assert 3 == len(asked)
    assert 0.1 <= asked[-1] - asked[0]
    assert "host name that is not known" in failure.message


async def test_a_name_service_in_trouble_is_asked_again(fetching, server):
    """The second answer counts."""
    answers = iter([socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "127.0.0.1"])

    def resolve(host: str, port: int) -> list[Endpoint]:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return [Endpoint(socket.AF_INET, (answer, port))]

    fetching.network = network(*HERE, resolve=resolve)
    assert b"film" == await fetching.fetch(f"http://films.test:{server.port}/film.mp4")


async def test_a_name_service_that_hangs_is_left(fetching):
    """Within its patience, and at once when the fetch is stopped."""
    released = threading.Event()

    def resolve(host: str, port: int) -> list[Endpoint]:
        released.wait(10)
        return []

    fetching.network = network(resolve=resolve)
    fetching.patience(resolve=timedelta(seconds=0.1), tries=2)
    failure = await fetching.failure("http://films.test/film.mp4")
    assert "was not resolved within 0.1 s" in failure.message
    fetching.patience(resolve=timedelta(seconds=20))
    fetch = asyncio.create_task(fetching.fetch("http://films.test/film.mp4"))
    await asyncio.sleep(0)
    fetching.stop = True
    with pytest.raises(FetchStopped):
        await asyncio.wait_for(fetch, 5)
    released.set()


async def test_the_next_address_is_tried(fetching, server):
    """One that nobody listens at is passed over."""
    allowed = AddressGuard([parse_network(each) for each in HERE])
    fetching.network = network(resolve=resolving({"films.test": ["127.0.0.9", "127.0.0.1"]}), guard=allowed)
    assert b"film" == await fetching.fetch(f"http://films.test:{server.port}/film.mp4")


async def test_no_proxy_is_used(fetching, server, monkeypatch):
    """The environment may name one; our checks would not reach behind it."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    fetching.network = network(*HERE)
    assert b"film" == await fetching.fetch(server.url)
