"""docs/examples.md, run as it stands: every block of every section, in order, against one whole system.

`sh` blocks have to succeed. `console` blocks are commands after "$ " and what they print, where "..." stands for anything
and runs of spaces for one. What a `python` block prints is in the `text` block after it, if there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import queue
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest

from support.certificates import make_certificates
from support.ffmpeg_under_test import make_clip
from support.http_server import Asked, Film, HttpServer, status
from support.processes import BIN, System, wait_until
from support.s3_server import S3, s3_server
from support.tls_front import TlsFront

PAGE = Path(__file__).parents[2] / "docs" / "examples.md"
SECONDS = 60
TLS = "localhost:50443"


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block of code."""

    section: str
    language: str
    text: str
    line: int
    """Of its first line in the page."""


def read(page: str) -> Iterator[Block]:
    """The blocks below each heading of the second level."""
    for found in re.finditer(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        before = page[: found.start()]
        headings = re.findall(r"^## (.+)$", before, re.MULTILINE)
        assert headings, f"a block before the first section: {found[0]}"
        yield Block(section=headings[-1], language=found[1], text=found[2], line=before.count("\n") + 2)


BLOCKS = list(read(PAGE.read_text()))
SECTIONS = {name: list(blocks) for name, blocks in groupby(BLOCKS, key=lambda block: block.section)}


class Reader:
    """Somebody who follows the page: where they are, and what is where the page says it is."""

    def __init__(self, place: Path, addresses: dict[str, str]) -> None:
        self.place = place
        self.addresses = addresses

    def environment(self, section: str) -> dict[str, str]:
        """Of a shell that can reach the scheduler; each section has a tenant of its own."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TELECINE_")}
        tenant = re.sub(r"[^a-z]+", "-", section.lower()).strip("-")
        return clean | {
            "TELECINE_ADDRESS": self.addresses["127.0.0.1:50051"], "TELECINE_TENANT": tenant,
            "PATH": f"{BIN}:{clean['PATH']}",
        }  # fmt: skip

    def here(self, text: str) -> str:
        """The same with the addresses that things have today."""
        for written, real in self.addresses.items():
            text = text.replace(written, real)
        return text

    def run(self, block: Block) -> None:
        """A block that is no text."""
        match block.language:
            case "sh":
                self._shell(block, block.text, expected=None)
            case "console":
                for command, expected in transcript(block.text):
                    self._shell(block, command, expected)
            case other:
                raise AssertionError(f"line {block.line}: nobody runs {other}")

    def _shell(self, block: Block, script: str, expected: str | None) -> None:
        # In a transcript a command may fail, where the page goes on to show its exit code.
        options = "-euo" if expected is None else "-uo"
        ran = subprocess.run(
            ["bash", options, "pipefail", "-c", self.here(script)], cwd=self.place, env=self.environment(block.section),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert 0 == ran.returncode, f"line {block.line}: {script}\n{ran.stdout}"
        if expected is not None:
            assert_like(self.here(expected), ran.stdout, block)


def transcript(text: str) -> Iterator[tuple[str, str]]:
    """Each command with what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        end = next(number for number, line in enumerate(lines, 1) if not line.endswith("\\\n"))
        yield "".join(lines[:end]), "".join(lines[end:])


def assert_like(expected: str, said: str, block: Block) -> None:
    """Equal but for runs of spaces, and for what "..." stands for: on a line of its own, any lines or none."""
    wanted, got = (re.sub(r"[ \t]+", " ", text).strip() + "\n" for text in (expected, said))
    lines = ("(?:.*?\n)??" if line.strip() == "..." else _pattern(line) for line in wanted.splitlines())
    assert re.fullmatch("".join(lines), got, re.DOTALL), (
        f"line {block.line}\n--- the page says\n{wanted}--- it printed\n{got}"
    )


def _pattern(line: str) -> str:
    return ".*?".join(map(re.escape, line.split("..."))) + "\n"


@contextlib.contextmanager
def neighbours(place: Path, scheduler: str) -> Iterator[dict[str, str]]:
    """What the page needs beside Telecine: where the web server is that wants a token, and what ends TLS."""
    film = Film(content=(place / "input.mp4").read_bytes())

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        welcome = "Bearer for-films" == asked.headers.get("authorization")
        await (film if welcome else status(401))(asked, writer)

    async def serve() -> None:
        stopped = asyncio.Event()
        async with contextlib.AsyncExitStack() as servers:
            web = await servers.enter_async_context(HttpServer(answer))
            # Beside it are ca.pem, mine.pem and mine.key, as the page calls them.
            certificate = make_certificates(place, scheduler=("localhost",), mine=("me",))["scheduler"]
            front = await servers.enter_async_context(TlsFront(certificate, scheduler))
            where = {"http://127.0.0.1:8000": f"http://127.0.0.1:{web.port}", TLS: f"localhost:{front.port}"}
            started.put((where, asyncio.get_running_loop(), stopped))
            await stopped.wait()

    started: queue.Queue[tuple[dict[str, str], asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()
    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="neighbours")
    thread.start()
    where, loop, stopped = started.get(timeout=30)
    try:
        yield where
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()


@contextlib.contextmanager
def object_store(place: Path) -> Iterator[S3]:
    """An S3 server, with the film where the page says it is."""
    with s3_server() as (host, port, client):
        store = S3(host=host, port=port, client=client, bucket="films")
        client.create_bucket(Bucket=store.bucket)
        store.put("input.mp4", (place / "input.mp4").read_bytes())
        yield store


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """Below a file root, with a film; a scheduler, a worker with two slots, and their neighbours."""
    with System() as system:
        place = system.media / "reader"
        place.mkdir()
        make_clip(place / "input.mp4", seconds=2, size="160x90")
        scheduler = system.scheduler().start()
        address = scheduler.ready["grpc"]
        with object_store(place) as store, neighbours(place, address) as addresses:
            settings = {
                "TELECINE_SLOTS": "2",
                "TELECINE_HTTP_ALLOW": "127.0.0.0/8",
                "TELECINE_STORE_ROOTS": store.uri(),
            }
            system.worker(address, **settings, **store.environment).start()
            wait_until(lambda: system.cli(address, "workers", "--json").stdout, "the worker to be known")
            yield Reader(place, addresses | {"127.0.0.1:50051": address})


@pytest.mark.parametrize("section", SECTIONS)
def test_the_examples_of_a_section_work(section: str, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its first block to its last, in a tenant of its own."""
    for name, value in reader.environment(section).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(reader.place)
    blocks = SECTIONS[section]
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block.language == "python":
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(compile(reader.here(block.text), f"{PAGE.name}:{block.line}", "exec"), {"__name__": "__main__"})
            if following and following.language == "text":
                assert_like(reader.here(following.text), said.getvalue(), block)
        elif block.language != "text":
            reader.run(block)
