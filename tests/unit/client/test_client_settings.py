"""What a client is told by arguments and by the environment, and that a token is never shown."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from telecine_client import AsyncClient, Client, errors
from telecine_client.addresses import stays_on_this_machine
from telecine_client.settings import SecurityOptions, Settings
from telecine_client.token import Token, TokenFile

SECRET = "s3cr3t-T0ken"
NAMES = ("ADDRESS", "TENANT", "TLS", "CA_FILE", "CERT_FILE", "KEY_FILE", "TOKEN", "TOKEN_FILE")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the machine must not reach a test."""
    for name in NAMES:
        monkeypatch.delenv(f"TELECINE_{name}", raising=False)


def resolve(address: str = "127.0.0.1:1", **security: Any) -> Settings:
    options: SecurityOptions = security  # type: ignore[assignment]
    return Settings.resolve(address, None, timedelta(seconds=1), options)


def test_by_default_there_is_neither_tls_nor_token() -> None:
    """As one tries it out on one machine."""
    settings = Settings.resolve(None, None, timedelta(seconds=1), {})
    assert (("127.0.0.1:50051",), "default", None, None, ()) == (
        settings.addresses, settings.tenant, settings.credentials, settings.token, settings.metadata(),
    )  # fmt: skip


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None stands for the environment's choice."""
    monkeypatch.setenv("TELECINE_TLS", "1")
    monkeypatch.setenv("TELECINE_TOKEN", "other")
    assert resolve(tls=False).credentials is None
    assert resolve(tls=None).credentials is not None
    assert (("authorization", f"Bearer {SECRET}"),) == resolve(token=SECRET).metadata()
    assert (("authorization", "Bearer other"),) == resolve(token=None).metadata()


@pytest.mark.parametrize(("word", "expected"), [("1", True), ("true", True), ("ON", True), ("0", False), ("", False)])
def test_tls_is_switched_by_the_environment(monkeypatch: pytest.MonkeyPatch, word: str, expected: bool) -> None:
    """On and off in the usual words."""
    monkeypatch.setenv("TELECINE_TLS", word)
    assert expected is (resolve().credentials is not None)


def test_a_file_for_tls_turns_it_on(tmp_path: Path) -> None:
    """Nobody gives an authority and wants no TLS."""
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    assert resolve(ca_file=tmp_path / "ca.pem").credentials is not None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cert_file": "c"}, "cert_file and key_file together"),
        ({"key_file": "k"}, "cert_file and key_file together"),
        ({"tls": False, "ca_file": "a"}, "TLS is off, and yet there is a file for it"),
        ({"ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem cannot be read: No such file"),
        ({"ca_file": __file__ + "/x"}, "cannot be read: Not a directory"),
        ({"token": "a", "token_file": "b"}, "give one of them"),
        ({"token_file": "/nowhere/token"}, "/nowhere/token cannot be read: No such file"),
        ({"token": ""}, "the token is empty"),
        ({"token": "two words"}, "without spaces"),
        ({"token": "line\nbreak"}, "without spaces"),
        ({"token": "ümläut"}, "visible ASCII"),
    ],
)
def test_what_cannot_be_is_said_when_the_client_is_made(options: dict[str, str], said: str) -> None:
    """Not at the first call, and what would be right."""
    with pytest.raises(ValueError, match=said):
        AsyncClient("127.0.0.1:1", **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=said):
        Client("127.0.0.1:1", **options)  # type: ignore[arg-type]


def test_a_file_that_is_no_pem_is_refused(tmp_path: Path) -> None:
    """gRPC would fail at the first call, with words about handshakes."""
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(ValueError, match=r"ca\.pem is no PEM file"):
        resolve(ca_file=tmp_path / "ca.pem")


def test_a_word_that_is_no_switch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt word must not turn TLS off."""
    monkeypatch.setenv("TELECINE_TLS", "yess")
    with pytest.raises(ValueError, match="TELECINE_TLS is 'yess'; write 1 or 0"):
        resolve()


@pytest.mark.parametrize("timeout", [timedelta(), timedelta(seconds=-1)])
def test_a_timeout_has_to_be_positive(timeout: timedelta) -> None:
    """Nothing could be done within it."""
    with pytest.raises(ValueError, match="has to be positive"):
        Client(timeout=timeout)


@pytest.mark.parametrize(
    "address", ["scheduler.example:1", "10.0.0.1:1", "127.0.0.1:1,scheduler.example:1", "dns:///a:1"]
)
def test_a_token_is_not_sent_in_the_clear_to_another_machine(address: str) -> None:
    """The refusal says where it would have gone, and what to do."""
    with pytest.raises(ValueError, match="without TLS") as caught:
        resolve(address, token=SECRET)
    assert SECRET not in str(caught.value)
    assert resolve(address, token=SECRET, tls=True).token is not None
    assert resolve(address, token=SECRET, allow_plaintext_token=True).token is not None


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:1", True), ("[::1]:1", True), ("unix:/run/s", True), ("unix-abstract:s", True), ("vsock:1:2", False)],
)
def test_what_stays_on_this_machine(address: str, expected: bool) -> None:
    """Loopback and unix sockets."""
    assert expected is stays_on_this_machine(address)


def test_a_token_is_shown_nowhere(tmp_path: Path) -> None:
    """Neither in its own form nor in what holds it."""
    (tmp_path / "token").write_text(SECRET)
    settings = resolve(token=SECRET)
    shown = [repr(each) for each in (Token(SECRET), TokenFile(tmp_path / "token"), settings)]
    shown += [f"{Token(SECRET)}", repr(vars(Client("127.0.0.1:1", token=SECRET)))]
    assert not [each for each in shown if SECRET in each]
    with pytest.raises(ValueError, match="the token") as caught:
        Token(f"{SECRET} ")
    assert SECRET not in str(caught.value)


def test_a_token_file_is_read_only_when_it_changed(tmp_path: Path) -> None:
    """A call costs one look at the file's times."""
    file = tmp_path / "token"
    file.write_text("first\n")
    token = TokenFile(file)
    assert "Bearer first" == token.metadata()[0][1]
    version = token._version
    assert "Bearer first" == token.metadata()[0][1]
    assert version is token._version
    file.write_text("second\n")
    assert "Bearer second" == token.metadata()[0][1]


def test_a_token_file_without_token_is_told_every_time(tmp_path: Path) -> None:
    """Not only when it is first seen: the old token would be sent on; a new one is used again."""
    file = tmp_path / "token"
    file.write_text("first")
    token = TokenFile(file)
    file.write_text("")
    for _ in range(2):
        with pytest.raises(errors.Unauthenticated, match="the token is empty"):
            token.metadata()
    file.write_text("second")
    assert "Bearer second" == token.metadata()[0][1]


def test_no_tls_as_an_argument_wins_over_files_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They stand back, even one that is not there; files that are arguments too are a contradiction."""
    monkeypatch.setenv("TELECINE_CA_FILE", str(tmp_path / "none.pem"))
    assert resolve(tls=False).credentials is None
    with pytest.raises(ValueError, match="TLS is off"):
        resolve(tls=False, ca_file="ca.pem")


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_the_token_does_not_travel_with_a_copy(copied: Any, tmp_path: Path) -> None:
    """Nobody passes it to another process by accident: neither by itself nor with what holds it."""
    (tmp_path / "token").write_text(SECRET)
    for token in (Token(SECRET), TokenFile(tmp_path / "token")):
        with pytest.raises(TypeError, match="a token is not pickled") as caught:
            copied(token)
        assert SECRET not in str(caught.value)
    with pytest.raises(TypeError):
        pickle.dumps(Client("127.0.0.1:1", token=SECRET))
