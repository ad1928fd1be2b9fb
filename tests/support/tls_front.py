"""What stands before a scheduler where callers need TLS: it ends TLS and passes the bytes on."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from support.certificates import Certificate
from support.listener import Listener


class TlsFront(Listener):
    """Has a certificate that callers have to trust."""

    def __init__(self, certificate: Certificate, target: str) -> None:
        context = certificate.server()
        # gRPC talks to nobody who does not choose HTTP/2.
        context.set_alpn_protocols(["h2"])
        super().__init__(tls=context)
        self._host, _, self._port = target.rpartition(":")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Both ways, until one of them ends."""
        inner_reader, inner_writer = await asyncio.open_connection(self._host, int(self._port))
        ways = [asyncio.create_task(_pump(reader, inner_writer)), asyncio.create_task(_pump(inner_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.transport.abort()
            inner_writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until either end is closed."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
