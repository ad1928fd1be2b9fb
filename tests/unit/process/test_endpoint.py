"""The HTTP endpoint, by real requests."""

from __future__ import annotations

import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge

from support.processes import wait_until
from telecine_process.addresses import Address
from telecine_process.endpoint import Endpoint

NOT_READY: list[str] = []


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    registry = CollectorRegistry()
    Gauge("films", "Number of films.", registry=registry).set(3)
    with Endpoint(Address(host="127.0.0.1", port=0), registry, lambda: NOT_READY[0] if NOT_READY else None) as endpoint:
        yield endpoint
    NOT_READY.clear()


def get(endpoint: Endpoint, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{endpoint.address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_each_path_says_what_it_is_for(endpoint: Endpoint) -> None:
    """Alive, ready or why not, the metrics, and what there is."""
    assert (200, "ok\n") == get(endpoint, "/healthz")
    assert (200, "ready\n") == get(endpoint, "/readyz")
    NOT_READY.append("waiting")
    assert (503, "waiting\n") == get(endpoint, "/readyz")
    assert "films 3.0" in get(endpoint, "/metrics")[1]
    assert 404 == get(endpoint, "/")[0]


def test_a_client_that_breaks_off_is_not_news(endpoint: Endpoint, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is written, least of all a bare traceback between the JSON lines; others are served."""
    threads = threading.active_count()
    with socket.create_connection((endpoint.address.host, endpoint.address.port)) as client:
        client.sendall(b"GET /hea")
        # Closed like this the connection is reset.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    # Connections are accepted in order: the broken one has its thread before this answer comes.
    assert (200, "ok\n") == get(endpoint, "/healthz")
    wait_until(lambda: threading.active_count() == threads, "the threads of both requests to end")
    assert ("", "") == capfd.readouterr()
