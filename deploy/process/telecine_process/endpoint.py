"""The HTTP endpoint of a process: /metrics for Prometheus, /healthz and /readyz for whoever keeps it running."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, Self, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from telecine_process.addresses import Address

log = structlog.get_logger(__name__)

# How soon the thread notices that it should end.
POLL_SECONDS = 0.05


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's
        """A client that breaks off, or is too slow, is not news; anything else is logged as everything is."""
        if not isinstance(sys.exception(), OSError):
            log.error("endpoint request failed", exc_info=sys.exception())


class _SixServer(_Server):
    address_family = socket.AF_INET6


class _SilentHandler(WSGIRequestHandler):
    timeout = 10  # seconds a slow client may hold a thread

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Scrapes are not news."""


class Endpoint:
    """Serves from threads of its own, so that a busy event loop is still observed.

    /healthz answers 200 while the process lives, with its *ailment* where it has one: a new process would have it, too, and
    lose what this one still does. /readyz answers 200 while *not_ready* returns None, else 503 with the reason.
    """

    def __init__(
        self,
        address: Address,
        registry: CollectorRegistry,
        not_ready: Callable[[], str | None],
        ailment: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._not_ready = not_ready
        self._ailment = ailment
        self._metrics = make_wsgi_app(registry)
        server = _SixServer if ":" in address.host else _Server
        self._server = make_server(address.host, address.port, self._answer, server, _SilentHandler)
        self.address = Address(host=address.host, port=self._server.server_port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECONDS,), name="endpoint", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return cast(Iterable[bytes], self._metrics(environ, start))
        if path == "/healthz":
            return _plain(start, "200 OK", self._ailment() or "ok")
        if path == "/readyz":
            reason = self._not_ready()
            return _plain(start, "503 Service Unavailable", reason) if reason else _plain(start, "200 OK", "ready")
        return _plain(start, "404 Not Found", "there are /metrics, /healthz and /readyz")


def _plain(start: Callable[..., Any], state: str, text: str) -> Iterable[bytes]:
    start(state, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{text}\n".encode()]
