"""What a client is told at its making, or by the environment: where the schedulers are, whose jobs, and how to trust them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self, TypedDict

import grpc

from telecine_client.addresses import parse_addresses, stays_on_this_machine
from telecine_client.arguments import checked_duration
from telecine_client.token import Token, TokenFile

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_TENANT = "default"
DEFAULT_TIMEOUT = timedelta(seconds=30)

AnyPath = str | os.PathLike[str]


class SecurityOptions(TypedDict, total=False):
    """Keyword arguments of both clients; what is left out, or None, comes from the environment variable that is named."""

    tls: bool | None
    """TELECINE_TLS (1 or 0). Default: on when one of the files below is given. False: whatever files the environment names."""
    ca_file: AnyPath | None
    """TELECINE_CA_FILE: PEM certificates that a scheduler's has to lead to. Default: gRPC's own."""
    cert_file: AnyPath | None
    """TELECINE_CERT_FILE: the client's own PEM certificate (chain), for schedulers that want one."""
    key_file: AnyPath | None
    """TELECINE_KEY_FILE: its private key."""
    token: str | None
    """TELECINE_TOKEN: sent with every call as a bearer token."""
    token_file: AnyPath | None
    """TELECINE_TOKEN_FILE: a file with the token; read again when it changes."""
    allow_plaintext_token: bool
    """Send the token without TLS to other machines, where anybody on the way can read it. Never by the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of one client."""

    addresses: tuple[str, ...]
    tenant: str
    timeout: timedelta
    """Bounds a call, all its attempts together."""
    credentials: grpc.ChannelCredentials | None
    """None: without TLS."""
    token: Token | None

    @classmethod
    def resolve(cls, address: str | None, tenant: str | None, timeout: timedelta, security: SecurityOptions) -> Self:
        """An argument wins over the environment, the environment over the default. Raises ValueError saying what is wrong."""
        addresses = parse_addresses(
            os.environ.get("TELECINE_ADDRESS") or DEFAULT_ADDRESS if address is None else address
        )
        credentials = _credentials(security)
        token = _token(security)
        exposed = [each for each in addresses if not stays_on_this_machine(each)]
        if token and not credentials and exposed and not security.get("allow_plaintext_token"):
            raise ValueError(
                f"the token would go to {', '.join(exposed)} without TLS, for everybody on the way to read; turn TLS on "
                "(tls=True, TELECINE_TLS=1), or say allow_plaintext_token=True"
            )
        return cls(
            addresses=addresses,
            tenant=chosen_tenant(tenant),
            timeout=positive(timeout),
            credentials=credentials,
            token=token,
        )

    @classmethod
    def of_a_channel(cls, tenant: str | None, timeout: timedelta) -> Self:
        """For a channel that the caller made, who sees to address, TLS and token."""
        return cls(addresses=(), tenant=chosen_tenant(tenant), timeout=positive(timeout), credentials=None, token=None)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with a call that begins now. Raises Unauthenticated when the token's file cannot be read."""
        return self.token.metadata() if self.token else ()


def chosen_tenant(tenant: str | None) -> str:
    """The argument, or TELECINE_TENANT, or "default"."""
    return os.environ.get("TELECINE_TENANT") or DEFAULT_TENANT if tenant is None else tenant


def positive(timeout: timedelta) -> timedelta:
    """The same. Raises ValueError for a timeout within which nothing can be done, TypeError for what is no timedelta."""
    checked_duration("timeout", timeout)
    if timeout <= timedelta():
        raise ValueError(f"the timeout has to be positive, not {timeout}")
    return timeout


def _credentials(security: SecurityOptions) -> grpc.ChannelCredentials | None:
    wanted = security.get("tls")
    if wanted is False and not any(security.get(name) for name in ("ca_file", "cert_file", "key_file")):
        # Files that only the environment names stand back behind the argument.
        return None
    if wanted is None:
        wanted = _switch("TELECINE_TLS", os.environ.get("TELECINE_TLS", ""))
    ca, cert, key = (_file(security, name) for name in ("ca_file", "cert_file", "key_file"))
    if (cert is None) != (key is None):
        raise ValueError("a client's certificate needs its key: give cert_file and key_file together")
    if wanted is False and (ca or cert):
        raise ValueError("TLS is off, and yet there is a file for it; leave tls out, or the files")
    if not (wanted or ca or cert):
        return None
    return grpc.ssl_channel_credentials(_pem(ca), _pem(key), _pem(cert))


def _token(security: SecurityOptions) -> Token | None:
    text, path = security.get("token"), security.get("token_file")
    if text is None and path is None:
        text, path = os.environ.get("TELECINE_TOKEN") or None, os.environ.get("TELECINE_TOKEN_FILE") or None
    if text is not None and path is not None:
        raise ValueError("there is a token and a token file; give one of them")
    if path is not None:
        return TokenFile(path)
    return Token(text) if text is not None else None


def _file(security: SecurityOptions, name: str) -> Path | None:
    options: Mapping[str, object] = security
    given = options.get(name) or os.environ.get(f"TELECINE_{name.upper()}")
    return Path(str(given)) if given else None


def _pem(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        text = path.read_bytes()
    except OSError as wrong:
        raise ValueError(f"{path} cannot be read: {wrong.strerror}") from wrong
    if b"-----BEGIN " not in text:
        raise ValueError(f"{path} is no PEM file; it has to hold -----BEGIN ...-----")
    return text


def _switch(name: str, text: str) -> bool | None:
    words = {
        "": None,
        "1": True,
        "true": True,
        "on": True,
        "yes": True,
        "0": False,
        "false": False,
        "off": False,
        "no": False,
    }
    if text.lower() not in words:
        raise ValueError(f"{name} is {text!r}; write 1 or 0")
    return words[text.lower()]
