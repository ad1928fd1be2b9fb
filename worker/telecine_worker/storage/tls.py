"""TLS apart from any socket: what is to be sent is taken from it, and what came is given to it.

A socket of the `ssl` module is not used: made on a connection that was reset just before, it fails in ways of its own.
"""

from __future__ import annotations

import ssl

READ_BYTES = 256 << 10


def default_trust() -> ssl.SSLContext:
    """The system's certificates, where SSL_CERT_FILE and SSL_CERT_DIR may name others; names are checked, TLS 1.2 or newer.

    Debian's Python leaves the oldest version to OpenSSL's settings.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Tls:
    """The client's side. Methods raise ssl.SSLError; None as an answer means that more has to be given first."""

    def __init__(self, trust: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = trust.wrap_bio(self._incoming, self._outgoing, server_hostname=host.removesuffix("."))

    def give(self, data: bytes) -> None:
        """What came from the other side; nothing: it has ended."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def take(self) -> bytes:
        """What is to be sent to the other side."""
        return self._outgoing.read()

    def shake_hands(self) -> bool | None:
        """True once the other side has proved to be who it should be. Raises ssl.SSLCertVerificationError where not."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return None
        return True

    def encrypt(self, data: bytes) -> int | None:
        """Make it ready to be taken."""
        try:
            return self._object.write(data)
        except ssl.SSLWantReadError:
            return None

    def decrypt(self) -> bytes | None:
        """What the other side has to say; nothing once it said that this is all. An end without that word is an error."""
        try:
            return self._object.read(READ_BYTES)
        except ssl.SSLWantReadError:
            return None
