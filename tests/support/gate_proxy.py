"""A TCP proxy whose server's side can be held back for a while, on connections that are open."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

from support.listener import Listener

PIECE_BYTES = 16 << 10
_RESET = struct.pack("ii", 1, 0)


class GateProxy(Listener):
    """Stands before one server. What the client says always passes; what the server says passes while the gate is open."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._server_address = (host, port)
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """Where to connect to."""
        return f"{self.host}:{self.port}"

    def hold(self) -> None:
        """Let nothing of the server pass from now on."""
        self._open.clear()

    def release(self) -> None:
        """Let what was held pass, late, as after a network that lost packets for a while."""
        self._open.set()

    def lose(self) -> None:
        """What was held is lost: its connections are broken (RST) on the client's side, and new ones pass again."""
        for writer in self._writers:
            connection: socket.socket | None = writer.get_extra_info("socket")
            if connection is not None and connection.fileno() >= 0:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._server_address)
        self._writers.add(writer)
        asking = asyncio.create_task(self._ask(reader, server_writer))
        try:
            while piece := await server_reader.read(PIECE_BYTES):
                await self._open.wait()
                if writer.is_closing():
                    return
                writer.write(piece)
                await writer.drain()
        finally:
            self._writers.discard(writer)
            asking.cancel()
            server_writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await asking

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        writer.close()
