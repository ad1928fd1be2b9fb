"""A TCP proxy whose open connections can go dead without a word, as behind a firewall that forgot them.

It can also lead somewhere else from some moment on, as an address that a failover moves.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from support.listener import Listener

PIECE_BYTES = 16 << 10


class SwallowingProxy(Listener):
    """Stands before the server at *server_port* of this machine, which may be changed."""

    def __init__(self, server_port: int) -> None:
        super().__init__()
        self.server_port = server_port
        self._dead = asyncio.Event()

    @property
    def url(self) -> str:
        """For TELECINE_REDIS_URL."""
        return f"redis://{self.host}:{self.port}"

    def swallow(self) -> None:
        """Connections that are open now take everything and give nothing; later ones work."""
        self._dead.set()
        self._dead = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dead = self._dead
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        pipes = [
            asyncio.create_task(_pipe(reader, server_writer, dead)),
            asyncio.create_task(_pipe(server_reader, writer, dead)),
        ]
        try:
            await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server_writer.close()
            for pipe in pipes:
                pipe.cancel()
                with suppress(OSError, asyncio.CancelledError):
                    await pipe


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dead: asyncio.Event) -> None:
    while piece := await reader.read(PIECE_BYTES):
        if not dead.is_set():
            writer.write(piece)
            await writer.drain()
