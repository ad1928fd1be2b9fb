"""The few calls of Google Cloud Storage's XML API that a worker makes, on this machine: one bucket, in memory."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")
_NOTES = ("x-goog-meta-", "content-type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    content: bytes
    notes: dict[str, str]
    generation: int

    @property
    def headers(self) -> dict[str, str]:
        tag = hashlib.md5(self.content, usedforsecurity=False).hexdigest()
        said = {"ETag": f'"{tag}"', "Last-Modified": "Sun, 22 Nov 2026 12:00:00 GMT"}
        return {**self.notes, **said, "x-goog-generation": str(self.generation)}


@dataclass(slots=True)
class Gcs:
    """What is in the bucket called "bucket", and what was asked for. Who has another token is refused."""

    url: str = ""
    token: str = "hunter2"
    knows_conditions: bool = True
    objects: dict[str, Stored] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    notes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    generations: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def put(self, key: str, content: bytes, notes: dict[str, str]) -> Stored:
        self.objects[key] = Stored(content=content, notes=notes, generation=next(self.generations))
        return self.objects[key]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gcs: Gcs

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is given
        """Quiet."""

    def _begin(self) -> tuple[str, dict[str, list[str]], bytes]:
        split = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.gcs.asked.append(f"{self.command} {split.path}")
        return (
            unquote(split.path).removeprefix("/bucket").lstrip("/"),
            parse_qs(split.query, keep_blank_values=True),
            body,
        )

    def _say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _denied(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {self.gcs.token}":
            return False
        self._say(403, f"<Error>{self.headers.get('Authorization')}</Error>".encode())
        return True

    def do_GET(self) -> None:
        key, query, _ = self._begin()
        if self._denied():
            return
        if "list-type" in query:
            self._list(query.get("prefix", [""])[0], query.get("delimiter", [""])[0])
        elif key not in self.gcs.objects:
            self._say(404)
        else:
            self._give(self.gcs.objects[key])

    do_HEAD = do_GET  # noqa: N815 - the name is given

    def _give(self, found: Stored) -> None:
        if self.gcs.knows_conditions and self.headers.get("If-Match", found.headers["ETag"]) != found.headers["ETag"]:
            self._say(412)
            return
        asked = _RANGE.fullmatch(self.headers.get("Range") or "")
        if self.command == "HEAD":
            self._say(200, **found.headers, **{"Content-Length": str(len(found.content))})
        elif asked is None:
            self._say(200, found.content, **found.headers)
        else:
            begin, end = int(asked[1]), min(int(asked[2]) + 1, len(found.content))
            said = {"Content-Range": f"bytes {begin}-{end - 1}/{len(found.content)}"}
            self._say(206, found.content[begin:end], **found.headers, **said)

    def _list(self, prefix: str, delimiter: str) -> None:
        keys = [key for key in sorted(self.gcs.objects) if key.startswith(prefix)]
        folders = {prefix + key.removeprefix(prefix).partition("/")[0] + "/" for key in keys} if delimiter else set()
        contents = "".join(
            f"<Contents><Key>{key}</Key><Size>1</Size><LastModified>2026-11-22T12:00:00Z</LastModified></Contents>"
            for key in keys if not delimiter
        )  # fmt: skip
        prefixes = "".join(f"<CommonPrefixes><Prefix>{each}</Prefix></CommonPrefixes>" for each in sorted(folders))
        self._say(200, f"<ListBucketResult>{contents}{prefixes}</ListBucketResult>".encode())

    def do_PUT(self) -> None:
        key, query, body = self._begin()
        if self._denied():
            return
        source = unquote(self.headers.get("x-goog-copy-source") or "").removeprefix("bucket/")
        if "partNumber" in query:
            self.gcs.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = body
            self._say(200, ETag='"part"')
        elif self._has_to_be_new() and key in self.gcs.objects:
            self._say(412)
        elif source and source not in self.gcs.objects:
            self._say(404)
        elif source:
            found = self.gcs.objects[source]
            self._say(200, b"<CopyObjectResult/>", **self.gcs.put(key, found.content, found.notes).headers)
        else:
            self._say(200, **self.gcs.put(key, body, self._notes()).headers)

    def _has_to_be_new(self) -> bool:
        return self.gcs.knows_conditions and self.headers.get("x-goog-if-generation-match") == "0"

    def _notes(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items() if name.lower().startswith(_NOTES)}

    def do_POST(self) -> None:
        key, query, _ = self._begin()
        if self._denied():
            return
        if "uploads" in query:
            name = f"upload-{next(self.gcs.generations)}"
            self.gcs.uploads[name], self.gcs.notes[name] = {}, self._notes()
            said = f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
            self._say(200, said.encode())
            return
        name = query["uploadId"][0]
        parts = self.gcs.uploads.pop(name)
        made = self.gcs.put(key, b"".join(parts[number] for number in sorted(parts)), self.gcs.notes.pop(name))
        said = f"<CompleteMultipartUploadResult><ETag>{made.headers['ETag']}</ETag></CompleteMultipartUploadResult>"
        self._say(200, said.encode(), **made.headers)

    def do_DELETE(self) -> None:
        key, query, _ = self._begin()
        if self._denied():
            return
        if "uploadId" in query:
            self.gcs.uploads.pop(query["uploadId"][0], None)
            self._say(204)
        else:
            self._say(404 if self.gcs.objects.pop(key, None) is None else 204)


@contextlib.contextmanager
def gcs_server() -> Iterator[Gcs]:
    """The server while it runs."""
    gcs = Gcs()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"gcs": gcs}))
    server.daemon_threads = True
    gcs.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield gcs
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
