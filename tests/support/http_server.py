"""An HTTP server that answers as a test wants it to, well or badly; with TLS, if the test has a certificate."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from support.listener import Listener

_RANGE = re.compile(r"bytes=([0-9]+)-")
LATE = "Sun, 22 Nov 2026 12:00:00 GMT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request; names of headers are in small letters."""

    path: str
    headers: Mapping[str, str]


Answering = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Film:
    """Answers with *content*, as good servers do: with a validator, a length and ranges, if they are wanted."""

    content: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"1"'})
    ranges: bool = True
    chunk_bytes: int = 0
    """Not 0: sent in chunks, without a length."""

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        asked_range = _RANGE.fullmatch(asked.headers.get("range", ""))
        validators = (self.headers.get("ETag"), self.headers.get("Last-Modified"))
        if not (self.ranges and asked_range and asked.headers.get("if-range") in validators):
            await self._send(writer, "200 OK", self.content, {})
        elif (begin := int(asked_range[1])) >= len(self.content):
            await self._send(writer, "416 No", b"", {"Content-Range": f"bytes */{len(self.content)}"})
        else:
            found = f"bytes {begin}-{len(self.content) - 1}/{len(self.content)}"
            await self._send(writer, "206 Partial", self.content[begin:], {"Content-Range": found})

    async def _send(self, writer: asyncio.StreamWriter, status: str, body: bytes, more: dict[str, str]) -> None:
        headers = {**self.headers, **more}
        if not self.chunk_bytes:
            await send(writer, status, {**headers, "Content-Length": str(len(body))}, body)
            return
        steps = range(0, len(body), self.chunk_bytes)
        pieces = [body[at : at + self.chunk_bytes] for at in steps]
        chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
        await send(writer, status, {**headers, "Transfer-Encoding": "chunked"}, b"".join([*chunks, b"0\r\n\r\n"]))


async def send(writer: asyncio.StreamWriter, status: str, headers: Mapping[str, str], body: bytes = b"") -> None:
    """An answer, byte for byte."""
    head = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(head).encode("latin-1") + body)
    await writer.drain()


def raw(answer: bytes) -> Answering:
    """Answers with these bytes, and closes."""

    async def answering(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return answering


def status(code: int, **headers: str) -> Answering:
    """Answers with a status and no body."""

    async def answering(asked: Asked, writer: asyncio.StreamWriter) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await send(writer, f"{code} X", {"Content-Length": "0", **named})

    return answering


def endless(head: bytes, piece: bytes) -> Answering:
    """Answers with *head*, and then *piece* again and again until the client has gone."""

    async def answering(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            # A client that reads as fast never fills the buffer; the others shall have their turn.
            await asyncio.sleep(0)

    return answering


def hanging(begin: bytes = b"") -> Answering:
    """Answers with *begin*, and then nothing for ever."""

    async def answering(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        await writer.drain()
        await asyncio.Event().wait()

    return answering


class HttpServer(Listener):
    """Answers each request with the next of *script*; the last one stays. One request a connection."""

    def __init__(self, *script: Answering, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        super().__init__(host=host, tls=tls)
        self.script = deque(script)
        self.asked: list[Asked] = []

    @property
    def url(self) -> str:
        """Of a file on it."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}/film.mp4"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request and its answer."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        asked = Asked(path=head[0].split(" ")[1], headers={name.lower(): value for name, value in headers.items()})
        self.asked.append(asked)
        answering = self.script.popleft() if len(self.script) > 1 else self.script[0]
        await answering(asked, writer)
