"""https: the certificate is of the name that was asked for, at the address that was checked."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import Certificate, make_certificates
from support.fault_proxy import Fault, FaultProxy, Kind
from support.fetching import HERE, Fetching, network, resolving
from support.http_server import Film, HttpServer, hanging, status
from telecine_worker.failure import FailureKind
from telecine_worker.storage.fetch_errors import FetchStopped

CONTENT = random.Random(3).randbytes(300_000)
NAMES = resolving({"films.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]})
UNTRUSTED = (FailureKind.PERMANENT, "INPUT_UNREADABLE")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """For films.test and the address 127.0.0.2."""
    return make_certificates(tmp_path_factory.mktemp("tls"), films=("films.test", "127.0.0.2"))["films"]


@pytest.fixture
def fetching(tmp_path: Path, certificate: Certificate) -> Iterator[Fetching]:
    """Trusts the certificate, and leaves nothing."""
    made = Fetching(directory=tmp_path, network=network(*HERE, resolve=NAMES, trust=certificate.trust))
    yield made
    assert [] == made.left()


async def test_a_file_arrives_over_tls(fetching, certificate):
    """By the name, which the server is told; a broken connection is gone on from."""
    told = []
    context = certificate.server()
    context.sni_callback = lambda connection, name, _: told.append(name)
    async with HttpServer(Film(content=CONTENT), tls=context) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        proxy.faults.append(Fault(Kind.CUT, 150_000))
        assert CONTENT == await fetching.fetch(f"https://films.test:{proxy.port}/film.mp4")
    assert ["films.test", "films.test"] == told
    assert f"films.test:{proxy.port}" == server.asked[0].headers["host"]
    assert server.asked[1].headers["range"] > "bytes=0-"


async def test_an_address_may_have_a_certificate_too(fetching, certificate):
    """A certificate for the address itself."""
    fetching.network = network(*HERE, trust=certificate.trust)
    async with HttpServer(Film(content=CONTENT), tls=certificate.server(), host="127.0.0.2") as server:
        assert CONTENT == await fetching.fetch(server.url)


async def test_a_certificate_of_another_name_is_refused(fetching, certificate):
    """The cause is named; nothing is asked, and nothing tried again."""
    async with HttpServer(Film(content=CONTENT), tls=certificate.server()) as server:
        failure = await fetching.failure(f"https://other.test:{server.port}/film.mp4")
        assert [] == server.asked
    assert UNTRUSTED == (failure.kind, failure.reason)
    assert "mismatch" in failure.message


async def test_a_certificate_nobody_signed_is_refused(fetching, certificate):
    """The system's certificates decide, unless the operator says otherwise."""
    fetching.network = network(*HERE, resolve=NAMES)
    async with HttpServer(Film(content=CONTENT), tls=certificate.server()) as server:
        failure = await fetching.failure(f"https://films.test:{server.port}/film.mp4")
        assert [] == server.asked
    assert UNTRUSTED == (failure.kind, failure.reason)
    assert "issuer" in failure.message


async def test_the_operator_may_name_certificates(fetching, certificate, monkeypatch):
    """SSL_CERT_FILE, as everywhere."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
    fetching.network = network(*HERE, resolve=NAMES)
    async with HttpServer(Film(content=CONTENT), tls=certificate.server()) as server:
        assert CONTENT == await fetching.fetch(f"https://films.test:{server.port}/film.mp4")


async def test_a_server_without_tls_is_no_https(fetching):
    """A plain answer to a TLS greeting, and a connection that is broken instead of one, may be better later."""

    async def plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plainly, "127.0.0.1", 0)
    fetching.patience(tries=3)
    async with server, FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        proxy.faults.extend([Fault(Kind.RESET, 0), Fault(Kind.CUT, 0)])
        failure = await fetching.failure(f"https://films.test:{proxy.port}/film.mp4")
    assert (FailureKind.RETRYABLE, "INPUT_UNAVAILABLE") == (failure.kind, failure.reason)
    assert "TLS: WRONG_VERSION_NUMBER" in failure.message


async def test_a_redirect_never_leaves_tls(fetching, certificate):
    """From https to http: refused, and not asked."""
    async with HttpServer(Film(content=CONTENT)) as plain:
        redirect = status(302, Location=plain.url)
        async with HttpServer(redirect, tls=certificate.server()) as server:
            failure = await fetching.failure(f"https://films.test:{server.port}/film.mp4")
        assert 0 == plain.connection_count
    assert (FailureKind.PERMANENT, "INPUT_NOT_ALLOWED") == (failure.kind, failure.reason)


async def test_a_greeting_that_hangs_can_be_stopped(fetching):
    """TLS that never begins ends with the fetch."""
    async with FaultProxy("127.0.0.1", 1) as proxy:
        proxy.fault = Fault(Kind.BLACKHOLE)
        fetch = asyncio.create_task(fetching.fetch(f"https://films.test:{proxy.port}/film.mp4"))
        async with asyncio.timeout(10):
            while not proxy.connection_count:
                await asyncio.sleep(0.005)
        fetching.stop = True
        with pytest.raises(FetchStopped):
            await asyncio.wait_for(fetch, 5)


async def test_a_body_over_tls_that_hangs_can_be_stopped(fetching, certificate):
    """After a part of it came."""
    half = hanging(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfilm")
    async with HttpServer(half, tls=certificate.server()) as server:
        fetch = asyncio.create_task(fetching.fetch(f"https://films.test:{server.port}/film.mp4"))
        await fetching.until_kept(4)
        fetching.stop = True
        with pytest.raises(FetchStopped):
            await asyncio.wait_for(fetch, 5)


def test_old_tls_is_not_spoken() -> None:
    """The default settings begin at TLS 1.2 and check names."""
    context = network().trust()
    assert context.check_hostname
    assert ssl.CERT_REQUIRED == context.verify_mode
    assert ssl.TLSVersion.TLSv1_2 <= context.minimum_version
