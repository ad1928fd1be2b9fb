"""A TCP proxy that does to connections what networks do: cut, reset, delay, slow down, hang half way, swallow."""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from support.listener import Listener

PIECE_BYTES = 16 << 10
_RESET = struct.pack("ii", 1, 0)


class Kind(enum.StrEnum):
    """What happens to a connection; the answer is what comes from the server's side."""

    PASS = "pass"
    CUT = "cut"
    """Closed in order after so many bytes of the answer."""
    RESET = "reset"
    """Broken (RST) after so many bytes of the answer."""
    HALF = "half"
    """Open for ever, but nothing comes after so many bytes of the answer."""
    DELAY = "delay"
    """The answer begins so many seconds later."""
    SLOW = "slow"
    """The answer comes at so many bytes a second."""
    BLACKHOLE = "blackhole"
    """Taken, and nothing else: the server never hears of it."""
    DROP = "drop"
    """The server has the request; its whole answer is lost, and then the connection."""


@dataclass(frozen=True, slots=True)
class Fault:
    """*amount*: bytes, seconds or bytes a second, as the kind says."""

    kind: Kind = Kind.PASS
    amount: float = 0


class FaultProxy(Listener):
    """Stands before one server. The next connections get the faults in *faults*, one each; later ones get *fault*."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._server_address = (host, port)
        self.faults: deque[Fault] = deque()
        self.fault = Fault()
        self.answered_bytes = 0
        """Of the server's, over all connections: those that came through."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As the next fault wants it; broken (RST) where it breaks from outside, and at the proxy's end."""
        try:
            await self._serve(self.faults.popleft() if self.faults else self.fault, reader, writer)
        except (OSError, asyncio.CancelledError):
            _reset(writer)

    async def _serve(self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if fault.kind is Kind.BLACKHOLE:
            await asyncio.Event().wait()
        server_reader, server_writer = await asyncio.open_connection(*self._server_address)
        asking = asyncio.create_task(_pass(reader, server_writer))
        try:
            await self._answer(fault, server_reader, writer)
        finally:
            asking.cancel()
            server_writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await asking

    async def _answer(self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if fault.kind is Kind.DELAY:
            await asyncio.sleep(fault.amount)
        left = int(fault.amount) if fault.kind in (Kind.CUT, Kind.RESET, Kind.HALF) else None
        while left != 0 and (piece := await reader.read(PIECE_BYTES if left is None else min(left, PIECE_BYTES))):
            if fault.kind is Kind.DROP:
                continue
            self.answered_bytes += len(piece)
            if fault.kind is Kind.SLOW:
                await _drip(piece, fault.amount, writer)
            else:
                writer.write(piece)
                await writer.drain()
            left = None if left is None else left - len(piece)
        if fault.kind is Kind.RESET:
            _reset(writer)
        elif fault.kind is Kind.HALF:
            await asyncio.Event().wait()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _drip(piece: bytes, bytes_per_second: float, writer: asyncio.StreamWriter) -> None:
    """In tenths of a second, at least a byte each."""
    step = max(1, round(bytes_per_second / 10))
    for begin in range(0, len(piece), step):
        writer.write(piece[begin : begin + step])
        await writer.drain()
        await asyncio.sleep(0.1)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
