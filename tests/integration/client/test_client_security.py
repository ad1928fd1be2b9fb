"""TLS and tokens of both clients, against real gRPC servers with certificates made for the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.client.conftest import SPEC, ScriptedScheduler, job, serving

from support.certificates import make_certificates
from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import AsyncClient, Client, errors

SECRET = "s3cr3t-T0ken"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority (ca), a server's certificate for localhost, and a caller's."""
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder, server=("localhost", "127.0.0.1"), caller=("caller.test",))
    return folder


class Guarded(ScriptedScheduler):
    """Notes what each call was authorized by."""

    def __init__(self) -> None:
        super().__init__()
        self.authorizations: list[str | None] = []
        self.peers: list[Any] = []
        for call, response in (
            ("GetJob", service_pb2.GetJobResponse),
            ("SubmitJob", service_pb2.SubmitJobResponse),
        ):
            self.script(call, self._answer(response))
        self.script("WatchJob", self._watch)
        self.script("SubmitJobs", self._submit)

    def _authorized(self, context: Any) -> None:
        self.authorizations.append(dict(context.invocation_metadata()).get("authorization"))
        self.peers.append(context.auth_context().get("x509_common_name"))

    def _answer(self, response: Any) -> Any:
        async def answer(request: object, context: Any) -> Any:
            self._authorized(context)
            return response(job=job(1, job_pb2.JOB_STATE_QUEUED))

        return answer

    async def _watch(self, request: object, context: Any) -> AsyncIterator[Any]:
        self._authorized(context)
        yield service_pb2.WatchJobResponse(job=job(9, job_pb2.JOB_STATE_SUCCEEDED))

    async def _submit(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        self._authorized(context)
        async for message in requests:
            results = [{"response": {"job": job(1, job_pb2.JOB_STATE_QUEUED)}} for _ in message.requests]
            yield service_pb2.SubmitJobsResponse(sequence=message.sequence, results=results)


@pytest.fixture
async def guarded(certificates: Path) -> AsyncIterator[Guarded]:
    """A scheduler with TLS."""
    pair = ((certificates / "server.key").read_bytes(), (certificates / "server.pem").read_bytes())
    script = Guarded()
    async with serving(script, credentials=grpc.ssl_server_credentials([pair])):
        yield script


@pytest.fixture
async def mutual(certificates: Path) -> AsyncIterator[Guarded]:
    """A scheduler with TLS that wants a certificate of its callers."""
    pair = ((certificates / "server.key").read_bytes(), (certificates / "server.pem").read_bytes())
    authority = (certificates / "ca.pem").read_bytes()
    script = Guarded()
    credentials = grpc.ssl_server_credentials([pair], authority, require_client_auth=True)
    async with serving(script, credentials=credentials):
        yield script


async def test_every_sort_of_call_goes_over_tls_with_the_token(guarded: Guarded, certificates: Path) -> None:
    """A single call, a stream of answers, and a stream both ways."""
    async with AsyncClient(guarded.address, ca_file=certificates / "ca.pem", token=SECRET) as client:
        await client.get("j1")
        await client.submit(SPEC)
        assert [9] == [seen.revision async for seen in client.watch("j1")]
    assert [f"Bearer {SECRET}"] * 3 == guarded.authorizations


async def test_the_blocking_client_does_the_same(guarded: Guarded, certificates: Path) -> None:
    """One way to set it up, two clients."""

    def use() -> None:
        with Client(guarded.address, ca_file=certificates / "ca.pem", token=SECRET) as client:
            client.get("j1")
            assert [9] == [seen.revision for seen in client.watch("j1")]
            client.submit_many([SPEC])

    await asyncio.to_thread(use)
    assert [f"Bearer {SECRET}"] * 3 == guarded.authorizations


async def test_the_environment_sets_up_all_of_it(
    mutual: Guarded, certificates: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Authority, certificate, key and token file by TELECINE_ variables."""
    (tmp_path / "token").write_text(f"{SECRET}\n")
    for name, path in (
        ("CA_FILE", certificates / "ca.pem"),
        ("CERT_FILE", certificates / "caller.pem"),
        ("KEY_FILE", certificates / "caller.key"),
        ("TOKEN_FILE", tmp_path / "token"),
        ("ADDRESS", mutual.address),
        ("TLS", "1"),
    ):
        monkeypatch.setenv(f"TELECINE_{name}", str(path))
    async with AsyncClient() as client:
        await client.get("j1")
    assert [f"Bearer {SECRET}"] == mutual.authorizations
    assert [[b"caller"]] == mutual.peers


async def test_a_scheduler_of_another_authority_is_not_talked_to(guarded: Guarded, certificates: Path) -> None:
    """The token does not reach it; the error says that it is the certificate, and not the token."""
    options = {"ca_file": certificates / "caller.pem", "token": SECRET}
    async with AsyncClient(guarded.address, timeout=timedelta(seconds=1), **options) as client:
        with pytest.raises(errors.Unavailable, match=r"(?i)certificate|handshake|ssl") as caught:
            await client.get("j1")
    assert [] == guarded.authorizations
    assert SECRET not in repr(caught.value)


async def test_without_its_certificate_a_caller_is_not_let_in(mutual: Guarded, certificates: Path) -> None:
    """Mutual TLS is refused by the transport."""
    async with AsyncClient(mutual.address, timeout=timedelta(seconds=1), ca_file=certificates / "ca.pem") as client:
        with pytest.raises(errors.Unavailable):
            await client.get("j1")


async def test_a_token_goes_to_this_machine_without_tls() -> None:
    """Nobody else can read it there."""
    script = Guarded()
    async with serving(script), AsyncClient(script.address, token=SECRET) as client:
        await client.get("j1")
    assert [f"Bearer {SECRET}"] == script.authorizations


async def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """A renewed token goes with the next call; a file that is gone is said clearly, and does not end the client."""
    file, script = tmp_path / "token", Guarded()
    file.write_text("first")
    async with serving(script), AsyncClient(script.address, token_file=file) as client:
        await client.get("j1")
        (tmp_path / "new").write_text("second")
        (tmp_path / "new").replace(file)
        await client.get("j1")
        file.unlink()
        with pytest.raises(errors.Unauthenticated, match=r"token file .* cannot be read"):
            await client.get("j1")
        file.write_text("third")
        await client.get("j1")
    assert ["Bearer first", "Bearer second", "Bearer third"] == script.authorizations
