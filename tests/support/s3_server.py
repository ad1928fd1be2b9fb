"""A server that speaks S3, on this machine, and what the tests look at in it with another client than ours.

It is moto's, or s3rver, a second implementation, whose program TELECINE_TEST_S3 names.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from support.fetching import QUICK
from support.processes import wait_until
from telecine_worker.storage.object_store import Bucket, ObjectStores
from telecine_worker.storage.patience import Patience
from telecine_worker.storage.store_places import StorePlace, StoreRoots, parse_store_root

S3RVER = os.environ.get("TELECINE_TEST_S3", "")
tells_of_uploads = pytest.mark.skipif(bool(S3RVER), reason="s3rver can neither list uploads nor give one up")
# S3rver knows one key.
KEY, SECRET = ("S3RVER", "S3RVER") if S3RVER else ("AKIATESTTESTTESTTEST", "hunter2")
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3:
    """A server, and in it an empty bucket. *environment* is what a worker needs to use it."""

    host: str
    port: int
    client: Any
    bucket: str = field(default_factory=lambda: f"bucket-{next(_numbers)}")

    @property
    def environment(self) -> dict[str, str]:
        return environment(f"http://{self.host}:{self.port}")

    def uri(self, key: str = "") -> str:
        """Of an object, or of the bucket."""
        return f"s3://{self.bucket}/{key}".rstrip("/")

    def place(self, key: str = "") -> StorePlace:
        """The same, taken apart."""
        return parse_store_root(self.uri(key))

    def put(self, key: str, content: bytes) -> None:
        """As somebody else does."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        """What is there."""
        content: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def head(self, key: str) -> dict[str, Any]:
        """What is said of it."""
        found: dict[str, Any] = self.client.head_object(Bucket=self.bucket, Key=key)
        return found

    def listed(self) -> list[str]:
        """Everything that can be seen, staged files included."""
        return [each["Key"] for each in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def unfinished(self) -> list[str]:
        """The keys of uploads that were begun and neither completed nor given up; always none where nothing is told of them."""
        if S3RVER:
            return []
        found = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [each["Key"] for each in found]


def environment(url: str) -> dict[str, str]:
    """A worker's, for the S3 server at *url*."""
    return {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1",
    }  # fmt: skip


@contextlib.contextmanager
def s3_server() -> Iterator[tuple[str, int, Any]]:
    """Where it is, and boto3's client for it."""
    with _s3rver() if S3RVER else _moto() as (host, port):
        client = boto3.client(
            "s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )  # fmt: skip
        try:
            yield host, port, client
        finally:
            client.close()


@contextlib.contextmanager
def _moto() -> Iterator[tuple[str, int]]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()
    finally:
        server.stop()


@contextlib.contextmanager
def _s3rver() -> Iterator[tuple[str, int]]:
    with tempfile.TemporaryDirectory(prefix="s3rver") as folder:
        said = Path(folder, "log")
        with said.open("wb") as log:
            words = [S3RVER, "--directory", f"{folder}/buckets", "--address", "127.0.0.1", "--port", "0"]
            server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(lambda: b"listening" in said.read_bytes() or server.poll() is not None, "s3rver to listen")
            found = re.search(r"listening on 127\.0\.0\.1:(\d+)", said.read_text())
            assert found, said.read_text()
            yield "127.0.0.1", int(found[1])
        finally:
            server.terminate()
            server.wait()


@contextlib.contextmanager
def stores_in(
    s3: S3, *, url: str = "", patience: Patience = QUICK, roots: tuple[str, ...] | None = None
) -> Iterator[ObjectStores]:
    """What a worker has that may reach *s3*, through *url* where one is given."""
    known = [s3.uri()] if roots is None else roots
    settings = s3.environment | (environment(url) if url else {})
    with mock.patch.dict(os.environ, settings):
        stores = ObjectStores(roots=StoreRoots(map(parse_store_root, known)), patience=patience)
        try:
            yield stores
        finally:
            stores.close()


def bucket_of(stores: ObjectStores, s3: S3) -> Bucket:
    """The bucket of *s3*."""
    return stores.bucket(s3.place())
